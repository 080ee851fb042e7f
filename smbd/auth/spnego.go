package auth

import (
	"bytes"
	"errors"

	"dittofs/gateway/krb5"
)

// DER tags of RFC 4178's messages.
const (
	tagBitString     = 0x03
	tagOctetString   = 0x04
	tagOID           = 0x06
	tagEnumerated    = 0x0a
	tagGeneralString = 0x1b
	tagSequence      = 0x30
	tagApplication0  = 0x60 // GSS-API InitialContextToken, RFC 2743 §3.1
	tagContext0      = 0xa0
	tagContext1      = 0xa1
	tagContext2      = 0xa2
	tagContext3      = 0xa3
)

// Object identifiers, without tag and length.
var (
	oidSPNEGO = []byte{0x2b, 0x06, 0x01, 0x05, 0x05, 0x02}                         // 1.3.6.1.5.5.2
	oidNTLM   = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a} // 1.3.6.1.4.1.311.2.2.10

	derOIDSPNEGO = der(tagOID, oidSPNEGO)
	derOIDNTLM   = der(tagOID, oidNTLM)
	derOIDsKRB5  = append(der(tagOID, krb5.OIDMS), der(tagOID, krb5.OID)...)
)

// negState, RFC 4178 §4.2.2.
type negState int8

const (
	stateNone       negState = -1
	stateCompleted  negState = 0
	stateIncomplete negState = 1
	stateReject     negState = 2
	stateRequestMIC negState = 3
)

// maxMechs bounds MechTypeList; clients send at most about six.
const maxMechs = 32

// negTokenInit, RFC 4178 §4.2.1.
type negTokenInit struct {
	mechs [][]byte // object identifiers
	list  []byte   // MechTypeList in DER: what mechListMIC signs
	token []byte
	mic   []byte
}

// initialToken wraps a NegTokenInit's fields as a GSS-API InitialContextToken.
func initialToken(fields ...[]byte) []byte {
	return der(tagApplication0, derOIDSPNEGO, der(tagContext0, der(tagSequence, fields...)))
}

func parseNegTokenInit(b []byte) (*negTokenInit, error) {
	r := derReader{rest: b}
	r = r.in(tagApplication0)
	if oid := r.take(tagOID); !bytes.Equal(oid, oidSPNEGO) {
		r.fail("not a SPNEGO token")
	}
	r = r.in(tagContext0)
	r = r.in(tagSequence)
	var t negTokenInit
	list := r.in(tagContext0)
	t.list = list.rest
	seq := list.in(tagSequence)
	r.fault = errors.Join(r.fault, list.fault)
	for len(seq.rest) > 0 && seq.fault == nil {
		t.mechs = append(t.mechs, seq.take(tagOID))
		if len(t.mechs) > maxMechs {
			seq.fail("too many mechanisms")
		}
	}
	r.optional(tagContext1) // reqFlags say nothing, RFC 4178 §4.2.1
	t.token = r.optionalIn(tagContext2, tagOctetString)
	t.mic = r.optionalIn(tagContext3, tagOctetString)
	if err := errors.Join(r.fault, seq.fault); err != nil {
		return nil, malformed("NegTokenInit: %w", err)
	}
	return &t, nil
}

// negTokenResp, RFC 4178 §4.2.2.
type negTokenResp struct {
	state negState
	mech  []byte // supportedMech, an object identifier; nil: left out
	token []byte
	mic   []byte
}

// parseNegTokenResp reads a message in the middle of an exchange of mech.
func parseNegTokenResp(b, mech []byte) (*negTokenResp, error) {
	r := derReader{rest: b}
	r = r.in(tagContext1)
	r = r.in(tagSequence)
	t := negTokenResp{state: stateNone}
	if s := r.optionalIn(tagContext0, tagEnumerated); len(s) == 1 {
		t.state = negState(s[0] & 0x7f)
	}
	if m := r.optionalIn(tagContext1, tagOID); m != nil && !bytes.Equal(m, mech) {
		r.fail("another mechanism in the middle of the exchange")
	}
	t.token = r.optionalIn(tagContext2, tagOctetString)
	t.mic = r.optionalIn(tagContext3, tagOctetString)
	if r.fault != nil {
		return nil, malformed("NegTokenResp: %w", r.fault)
	}
	return &t, nil
}

func (t negTokenResp) append(b []byte) []byte {
	var fields [][]byte
	if t.state != stateNone {
		fields = append(fields, der(tagContext0, der(tagEnumerated, []byte{byte(t.state)})))
	}
	if t.mech != nil {
		fields = append(fields, der(tagContext1, der(tagOID, t.mech)))
	}
	if t.token != nil {
		fields = append(fields, der(tagContext2, der(tagOctetString, t.token)))
	}
	if t.mic != nil {
		fields = append(fields, der(tagContext3, der(tagOctetString, t.mic)))
	}
	return append(b, der(tagContext1, der(tagSequence, fields...))...)
}

// der is one element: tag, definite length, the parts one after the other.
func der(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := []byte{tag}
	switch {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// derReader takes elements off the front of rest. The first fault sticks, and everything after it is empty.
type derReader struct {
	rest  []byte
	fault error
}

func (r *derReader) fail(why string) {
	if r.fault == nil {
		r.fault = errors.New(why)
	}
	r.rest = nil
}

// take returns the contents of the next element, which must have this tag. Lengths are definite and fit in what is there.
func (r *derReader) take(tag byte) []byte {
	if len(r.rest) < 2 || r.rest[0] != tag {
		r.fail("an element is missing")
		return nil
	}
	n, at := uint64(r.rest[1]), 2
	if n >= 0x80 {
		k := int(n & 0x7f)
		if k == 0 || k > 4 || len(r.rest) < 2+k {
			r.fail("a length that is not definite or too large")
			return nil
		}
		n = 0
		for _, c := range r.rest[2 : 2+k] {
			n = n<<8 | uint64(c)
		}
		at += k
	}
	if n > uint64(len(r.rest)-at) {
		r.fail("an element is longer than its message")
		return nil
	}
	body := r.rest[at : at+int(n)]
	r.rest = r.rest[at+int(n):]
	return body
}

// in steps into the next element.
func (r *derReader) in(tag byte) derReader {
	body := r.take(tag)
	return derReader{rest: body, fault: r.fault}
}

// optional takes the next element where it has this tag, else nil.
func (r *derReader) optional(tag byte) []byte {
	if len(r.rest) == 0 || r.rest[0] != tag {
		return nil
	}
	return r.take(tag)
}

// optionalIn takes what stands in an optional element, else nil.
func (r *derReader) optionalIn(outer, inner byte) []byte {
	if len(r.rest) == 0 || r.rest[0] != outer {
		return nil
	}
	in := r.in(outer)
	body := in.take(inner)
	if in.fault != nil {
		r.fault = in.fault
		return nil
	}
	return body
}
