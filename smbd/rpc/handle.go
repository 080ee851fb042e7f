package rpc

import "crypto/rand"

// handle is a context handle as it travels: attributes, which are zero, and a UUID.
type handle [20]byte

// object is what a handle stands for.
type object int

const (
	none object = iota
	policy
	samServer
	accountDomain
	builtinDomain
)

// Results of lsarpc and samr, [MS-ERREF] 2.3.
const (
	statusSuccess          = 0
	statusSomeNotMapped    = 0x00000107
	statusMoreEntries      = 0x00000105
	statusInvalidHandle    = 0xC0000008
	statusInvalidParameter = 0xC000000D
	statusNoSuchDomain     = 0xC00000DF
	statusNoneMapped       = 0xC0000073
	statusInvalidInfoClass = 0xC0000003
	statusNoResources      = 0xC000009A
)

// give makes a handle; ok is false where the association has too many.
func (p *Pipe) give(o object) (h handle, ok bool) {
	if len(p.handles) >= maxHandles {
		return h, false
	}
	if p.handles == nil {
		p.handles = map[handle]object{}
	}
	rand.Read(h[4:])
	p.handles[h] = o
	return h, true
}

// opened answers with a new handle.
func (p *Pipe) opened(o object) ([]byte, status) {
	h, given := p.give(o)
	var w writer
	w.b = append(w.b, h[:]...)
	if !given {
		w.uint32(statusNoResources)
		return w.b, ok
	}
	w.uint32(statusSuccess)
	return w.b, ok
}

// closeHandle is LsarClose and SamrCloseHandle.
func (p *Pipe) closeHandle(in *reader) ([]byte, status) {
	h := in.handle()
	if in.End() != nil {
		return nil, badStubData
	}
	result := uint32(statusSuccess)
	if p.handles[h] == none {
		result = statusInvalidHandle
	}
	delete(p.handles, h)
	var w writer
	w.b = append(w.b, make([]byte, len(h))...)
	w.uint32(result)
	return w.b, ok
}
