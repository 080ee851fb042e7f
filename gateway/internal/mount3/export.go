package mount3

import (
	"context"

	"dittofs/gateway/config"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// EXPORT, RFC 1813 §5.2.5.

// ExportEntry is exportnode: a directory and who may mount it; no groups: everybody.
type ExportEntry struct {
	Directory string
	Groups    []Group
}

// XDR lists the fields, but for the list's flag.
func (e *ExportEntry) XDR(x *xdr.Stream) {
	x.String(&e.Directory, pathLen)
	each(x, &e.Groups)
}

// Group is groupnode.
type Group string

// XDR moves the name.
func (g *Group) XDR(x *xdr.Stream) { x.String((*string)(g), nameLen) }

// ExportList is exports.
type ExportList struct{ Entries []ExportEntry }

// XDR lists the fields.
func (l *ExportList) XDR(x *xdr.Stream) { each(x, &l.Entries) }

func (s *Server) export(context.Context, *oncrpc.Call, *xdr.Void) (*ExportList, error) {
	l := &ExportList{}
	for _, e := range s.exports.Exports() {
		if len(e.Path) > pathLen {
			continue // it cannot be named here
		}
		x := ExportEntry{Directory: e.Path}
		for _, text := range e.Config().Clients {
			if c, err := config.ParseClient(text); err == nil {
				x.Groups = append(x.Groups, Group(c.Host))
			}
		}
		l.Entries = append(l.Entries, x)
	}
	return l, nil
}
