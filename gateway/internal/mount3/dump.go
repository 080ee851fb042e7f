package mount3

import (
	"context"
	"slices"
	"sync"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// DUMP, RFC 1813 §5.2.2.

// MountEntry is mountbody: who mounted what, as far as the clients told.
type MountEntry struct {
	Hostname  string
	Directory string
}

// XDR lists the fields, but for the list's flag.
func (m *MountEntry) XDR(x *xdr.Stream) {
	x.String(&m.Hostname, nameLen)
	x.String(&m.Directory, pathLen)
}

// MountList is mountlist.
type MountList struct{ Entries []MountEntry }

// XDR lists the fields.
func (l *MountList) XDR(x *xdr.Stream) { each(x, &l.Entries) }

func (s *Server) dump(context.Context, *oncrpc.Call, *xdr.Void) (*MountList, error) {
	return &MountList{s.mounts.all()}, nil
}

// listMax bounds the list; whoever mounts next is not in it.
const listMax = 4096

// list is what DUMP shows. It is for people: it forgets at each start, and clients forget to unmount.
type list struct {
	mu      sync.Mutex // guards the field below
	entries []MountEntry
}

func entry(c *oncrpc.Call, p DirPath) MountEntry {
	return MountEntry{c.Remote.Addr().Unmap().String(), string(p)}
}

func (l *list) add(e MountEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) < listMax && !slices.Contains(l.entries, e) {
		l.entries = append(l.entries, e)
	}
}

// remove takes out e, or where it names no directory all of its host's.
func (l *list) remove(e MountEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(x MountEntry) bool {
		return x.Hostname == e.Hostname && (e.Directory == "" || x.Directory == e.Directory)
	})
}

func (l *list) all() []MountEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}
