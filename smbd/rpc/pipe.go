package rpc

import (
	"errors"
	"strings"
	"sync"

	"dittofs/smbd/wire"
)

// Info is what the pipes tell of the server.
type Info struct {
	ServerName string
	Domain     string // or workgroup; empty: WORKGROUP
	Comment    string
	Shares     func() []Share // without IPC$, which is always there
	Names      Names          // nil: nobody has a name
}

// Share is one share in an enumeration.
type Share struct {
	Name    string
	Comment string
}

// Bounds.
const (
	maxFragment = 4280     // what we send and accept in one fragment
	minFragment = 1432     // every implementation takes as much, C706 12.6.3.1
	maxRequest  = 64 << 10 // a request's arguments, all fragments together
	maxReply    = 4 << 20  // an answer's arguments
	maxQueue    = 16       // answers that nobody has read
	maxContexts = 32       // presentation contexts of one association
	maxHandles  = 64       // context handles of one association
	maxLookups  = 1000     // names or SIDs in one question, [MS-LSAT] 3.1.4.5
)

// Errors of a pipe.
var (
	// ErrEmpty says that nothing is there to be read: STATUS_PIPE_EMPTY.
	ErrEmpty = errors.New("rpc: the pipe is empty")
	// ErrProtocol says that the client does not speak RPC; the pipe is of no more use: STATUS_PIPE_DISCONNECTED.
	ErrProtocol = errors.New("rpc: not DCE/RPC")
	// ErrFull says that the client asks without reading the answers: STATUS_INSUFFICIENT_RESOURCES.
	ErrFull = errors.New("rpc: too many answers that nobody reads")
)

// Pipe is one open of a named pipe, in message mode: each fragment of an answer is one message.
type Pipe struct {
	info     Info
	endpoint endpoint

	mu       sync.Mutex // guards the fields below
	broken   bool
	in       []byte   // an incomplete fragment from the client
	out      [][]byte // fragments to be read
	fragment int      // the largest fragment that the client takes
	contexts map[uint16]bool
	call     *call // a request whose last fragment has not come
	handles  map[handle]object
}

// endpoint is one interface at one pipe.
type endpoint struct {
	name    string
	syntax  syntax
	perform func(p *Pipe, opnum uint16, in *reader) ([]byte, status)
}

var endpoints = []endpoint{
	{"srvsvc", syntax{srvsvcUUID, 3, 0}, srvsvc},
	{"wkssvc", syntax{wkssvcUUID, 1, 0}, wkssvc},
	{"lsarpc", syntax{lsarpcUUID, 0, 0}, lsarpc},
	{"samr", syntax{samrUUID, 1, 0}, samr},
}

// NewPipe opens a pipe by the name that a CREATE on IPC$ has: "srvsvc", in any case, also with a backslash or PIPE\ before it. Where
// there is none of that name it returns false: STATUS_OBJECT_NAME_NOT_FOUND.
func NewPipe(name string, info Info) (*Pipe, bool) {
	name = strings.TrimPrefix(strings.ToLower(name), `\`)
	name = strings.TrimPrefix(name, `pipe\`)
	for _, e := range endpoints {
		if e.name == name {
			return &Pipe{info: info, endpoint: e, fragment: minFragment, contexts: map[uint16]bool{}}, true
		}
	}
	return nil, false
}

// Private reports whether the pipe tells of users, which are nobody's business who has not said who he is.
func (p *Pipe) Private() bool { return p.endpoint.name == "lsarpc" || p.endpoint.name == "samr" }

// Write takes what a WRITE brings: fragments, whole or in parts.
func (p *Pipe) Write(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(b)
}

// Read returns the next message, or as much of it as max allows; more says that the rest of the message is still there:
// STATUS_BUFFER_OVERFLOW.
func (p *Pipe) Read(max int) (out []byte, more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(max)
}

// Transact is FSCTL_PIPE_TRANSCEIVE, [MS-SMB2] 3.3.5.15.3: a write and a read.
func (p *Pipe) Transact(in []byte, max int) (out []byte, more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.write(in); err != nil {
		return nil, false, err
	}
	return p.read(max)
}

// Available is the number of bytes that the next Read returns at most; FSCTL_PIPE_PEEK and FilePipeLocalInformation ask for it.
func (p *Pipe) Available() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.out) == 0 {
		return 0
	}
	return len(p.out[0])
}

func (p *Pipe) read(max int) ([]byte, bool, error) {
	if len(p.out) == 0 {
		if p.broken {
			return nil, false, ErrProtocol
		}
		return nil, false, ErrEmpty
	}
	m := p.out[0]
	if max < 0 {
		max = 0
	}
	if len(m) > max {
		p.out[0] = m[max:]
		return m[:max:max], true, nil
	}
	p.out = p.out[1:]
	return m, false, nil
}

func (p *Pipe) write(b []byte) error {
	if p.broken {
		return ErrProtocol
	}
	for len(b) > 0 {
		// Take the header first: it says how much belongs to the fragment.
		want := headerSize
		if len(p.in) >= headerSize {
			want = fragLength(p.in)
		}
		n := min(want-len(p.in), len(b))
		p.in, b = append(p.in, b[:n]...), b[n:]
		if len(p.in) < headerSize {
			continue
		}
		if !spoken(p.in) {
			return p.disconnect(ErrProtocol)
		}
		if len(p.in) < fragLength(p.in) {
			continue
		}
		pdu := p.in
		p.in = nil
		if err := p.fragmentIn(pdu); err != nil {
			return p.disconnect(err)
		}
	}
	return nil
}

func (p *Pipe) disconnect(err error) error {
	p.broken = true
	p.in, p.call = nil, nil
	return err
}

// reply queues a PDU in one piece.
func (p *Pipe) reply(h header, body []byte) { p.out = append(p.out, h.append(body)) }

// respond queues an answer in as many fragments as the client's size asks for.
func (p *Pipe) respond(c *call, stub []byte) {
	const prefix = 8 // alloc_hint, p_cont_id, cancel_count
	room := (p.fragment - headerSize - prefix) &^ 7
	flags := uint8(flagFirst)
	for {
		part := stub[:min(room, len(stub))]
		if len(part) == len(stub) {
			flags |= flagLast
		}
		body := wire.Append32(nil, uint32(len(stub)))
		body = wire.Append16(body, c.context)
		body = wire.Append16(body, 0)
		p.reply(header{kind: ptypeResponse, flags: flags, call: c.id}, append(body, part...))
		stub, flags = stub[len(part):], 0
		if len(stub) == 0 {
			return
		}
	}
}
