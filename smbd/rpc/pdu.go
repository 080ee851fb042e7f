package rpc

import (
	"bytes"
	"encoding/binary"

	"dittofs/smbd/wire"
)

// PDU types, C706 12.6.4.
const (
	ptypeRequest      = 0
	ptypeResponse     = 2
	ptypeFault        = 3
	ptypeBind         = 11
	ptypeBindAck      = 12
	ptypeBindNak      = 13
	ptypeAlter        = 14
	ptypeAlterResp    = 15
	ptypeCancel       = 18
	ptypeOrphaned     = 19
	headerSize        = 16
	bindNakVersion    = 4 // protocol version not supported
	bindNakAuth       = 8 // authentication type not recognized, [MS-RPCE] 2.2.2.5
	flagFirst         = 0x01
	flagLast          = 0x02
	flagDidNotExecute = 0x20
	flagObject        = 0x80
)

// status is a fault's, C706 appendix E and [MS-RPCE] 2.2.2.x.
type status uint32

// Faults.
const (
	ok           status = 0
	opRangeError status = 0x1C010002 // nca_s_op_rng_error
	unknownIf    status = 0x1C010003 // nca_s_unk_if
	protoError   status = 0x1C01000B // nca_s_proto_error
	badStubData  status = 0x000006F7 // RPC_X_BAD_STUB_DATA
	tooLarge     status = 0x1C01001B // nca_s_fault_remote_no_memory
)

// syntax names an interface or a transfer syntax with its version.
type syntax struct {
	uuid         [16]byte // as on the wire
	major, minor uint16
}

// ndr20 is the transfer syntax that we speak: 8a885d04-1ceb-11c9-9fe8-08002b104860 version 2.0.
var ndr20 = syntax{uuid: uuid(0x8a885d04, 0x1ceb, 0x11c9, "\x9f\xe8\x08\x00\x2b\x10\x48\x60"), major: 2}

// uuid puts the first three fields in little-endian order, as they travel.
func uuid(a uint32, b, c uint16, rest string) (u [16]byte) {
	le := binary.LittleEndian
	le.PutUint32(u[0:], a)
	le.PutUint16(u[4:], b)
	le.PutUint16(u[6:], c)
	copy(u[8:], rest)
	return u
}

// header is the common header, C706 12.6.3.1.
type header struct {
	kind  uint8
	flags uint8
	auth  uint16
	call  uint32
}

func (h header) append(body []byte) []byte {
	b := make([]byte, 0, headerSize+len(body))
	b = append(b, 5, 0, h.kind, h.flags)
	b = append(b, 0x10, 0, 0, 0) // little-endian, ASCII, IEEE
	b = wire.Append16(b, uint16(headerSize+len(body)))
	b = wire.Append16(b, 0)
	b = wire.Append32(b, h.call)
	return append(b, body...)
}

func fragLength(b []byte) int { return int(binary.LittleEndian.Uint16(b[8:])) }

// spoken tells whether a header is one of RPC 5.0 or 5.1 with a length that we take. Big-endian data is refused: no client of SMB sends it.
func spoken(b []byte) bool {
	return b[0] == 5 && b[1] <= 1 && b[4] == 0x10 && fragLength(b) >= headerSize && fragLength(b) <= maxFragment
}

// call is a request.
type call struct {
	id      uint32
	context uint16
	opnum   uint16
	stub    []byte
}

// fragmentIn takes one whole fragment. An error disconnects the pipe.
func (p *Pipe) fragmentIn(pdu []byte) error {
	h := header{kind: pdu[2], flags: pdu[3], auth: binary.LittleEndian.Uint16(pdu[10:]), call: binary.LittleEndian.Uint32(pdu[12:])}
	body := pdu[headerSize:]
	if h.kind == ptypeCancel || h.kind == ptypeOrphaned {
		p.call = nil
		return nil
	}
	if len(p.out) >= maxQueue {
		return ErrFull
	}
	switch h.kind {
	case ptypeBind, ptypeAlter:
		return p.bind(h, body)
	case ptypeRequest:
		return p.request(h, body)
	}
	return ErrProtocol
}

// Results of a presentation context, C706 12.6.3.1 p_cont_def_result_t and p_provider_reason_t.
const (
	acceptance        = 0
	providerRejection = 2
	reasonNone        = 0
	reasonAbstract    = 1
	reasonTransfer    = 2
	reasonLimit       = 3
)

// bind answers BIND and ALTER_CONTEXT, C706 12.6.4.3. NDR 2.0 is accepted; NDR64 and bind time feature negotiation are refused, as
// [MS-RPCE] 3.3.1.5.3 lets a server that does not know them.
func (p *Pipe) bind(h header, body []byte) error {
	if h.auth != 0 {
		nak := wire.Append16(nil, bindNakAuth)
		p.reply(header{kind: ptypeBindNak, flags: flagFirst | flagLast, call: h.call}, append(nak, 1, 5, 0))
		return nil
	}
	r := wire.Reader(body)
	r.Skip(2) // max_xmit_frag: we take maxFragment, and say so
	recv, group := r.Uint16(), r.Uint32()
	count := int(r.Uint8())
	r.Skip(3)
	type result struct {
		result, reason uint16
		transfer       syntax
	}
	var results []result
	for range count {
		id, transfers := r.Uint16(), int(r.Uint8())
		r.Skip(1)
		abstract := readSyntax(&r)
		res := result{providerRejection, reasonTransfer, syntax{}}
		for range transfers {
			if readSyntax(&r) == ndr20 {
				res = result{acceptance, reasonNone, ndr20}
			}
		}
		switch {
		case r.Err() != nil:
			return ErrProtocol
		case abstract.uuid != p.endpoint.syntax.uuid || abstract.major != p.endpoint.syntax.major:
			res = result{providerRejection, reasonAbstract, syntax{}}
		case res.result == acceptance && len(p.contexts) >= maxContexts && !p.contexts[id]:
			res = result{providerRejection, reasonLimit, syntax{}}
		case res.result == acceptance:
			p.contexts[id] = true
		}
		results = append(results, res)
	}
	if r.Err() != nil || count == 0 {
		return ErrProtocol
	}

	ack, address := header{kind: ptypeAlterResp, flags: flagFirst | flagLast, call: h.call}, ""
	if h.kind == ptypeBind {
		ack.kind, address = ptypeBindAck, `\PIPE\`+p.endpoint.name+"\x00"
		p.fragment = min(max(int(recv), minFragment), maxFragment)
	}
	if group == 0 {
		group = 1
	}
	b := wire.Append16(nil, uint16(p.fragment))
	b = wire.Append16(b, maxFragment)
	b = wire.Append32(b, group)
	b = wire.Append16(b, uint16(len(address)))
	b = append(b, address...)
	b = wire.Pad(b, 0, 4)
	b = append(b, byte(len(results)), 0, 0, 0)
	for _, x := range results {
		b = wire.Append16(b, x.result)
		b = wire.Append16(b, x.reason)
		b = append(b, x.transfer.uuid[:]...)
		b = wire.Append16(b, x.transfer.major)
		b = wire.Append16(b, x.transfer.minor)
	}
	p.reply(ack, b)
	return nil
}

func readSyntax(r *wire.Cursor) (s syntax) {
	copy(s.uuid[:], r.Bytes(16))
	s.major, s.minor = r.Uint16(), r.Uint16()
	return s
}

// request collects a request's fragments and performs it with the last one. C706 12.6.4.9.
func (p *Pipe) request(h header, body []byte) error {
	r := wire.Reader(body)
	r.Skip(4) // alloc_hint is a hint; memory grows with what comes
	context, opnum := r.Uint16(), r.Uint16()
	if h.flags&flagObject != 0 {
		r.Skip(16)
	}
	stub := r.Rest()
	if r.Err() != nil {
		return ErrProtocol
	}
	if h.flags&flagFirst != 0 {
		if p.call != nil {
			return ErrProtocol // one call at a time: we never offered multiplexing
		}
		p.call = &call{id: h.call, context: context, opnum: opnum}
	}
	c := p.call
	if c == nil || c.id != h.call || h.auth != 0 {
		p.call = nil
		p.fault(h.call, context, protoError)
		return nil
	}
	if len(c.stub)+len(stub) > maxRequest {
		p.call = nil
		p.fault(h.call, context, tooLarge)
		return nil
	}
	c.stub = append(c.stub, stub...)
	if h.flags&flagLast == 0 {
		return nil
	}
	p.call = nil
	p.perform(c)
	return nil
}

func (p *Pipe) perform(c *call) {
	if !p.contexts[c.context] {
		p.fault(c.id, c.context, unknownIf)
		return
	}
	in := reader{Cursor: wire.Reader(bytes.Clone(c.stub))}
	out, st := p.endpoint.perform(p, c.opnum, &in)
	switch {
	case st != ok:
		p.fault(c.id, c.context, st)
	case len(out) > maxReply:
		p.fault(c.id, c.context, tooLarge)
	default:
		p.respond(c, out)
	}
}

func (p *Pipe) fault(id uint32, context uint16, st status) {
	b := wire.Append32(nil, 0)
	b = wire.Append16(b, context)
	b = wire.Append16(b, 0)
	b = wire.Append32(b, uint32(st))
	b = wire.Append32(b, 0)
	p.reply(header{kind: ptypeFault, flags: flagFirst | flagLast | flagDidNotExecute, call: id}, b)
}
