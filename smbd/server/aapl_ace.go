package server

import (
	"os"

	"dittofs/gateway/export"
	"dittofs/smbd/dtyp"
)

// NFS entries: a Mac finds a file's owner, group and mode in three entries of the list that grant and deny nothing, S-1-5-88-1-UID,
// S-1-5-88-2-GID and S-1-5-88-3-MODE ([MS-NFSS] names them), and sets the mode by the third.
const (
	nfsAuthority, nfsDomain = 5, 88
	nfsOwner, nfsGroup      = 1, 2
	nfsMode                 = 3
)

func nfsSID(kind, value uint32) dtyp.SID { return dtyp.NewSID(nfsAuthority, nfsDomain, kind, value) }

// nfsEntry reports what an entry says, if it is one of the three.
func nfsEntry(sid dtyp.SID) (kind, value uint32, ok bool) {
	kind, value = sid.Sub[1], sid.Sub[2]
	return kind, value, sid == nfsSID(kind, value) && kind >= nfsOwner && kind <= nfsMode
}

// withNFS is the descriptor with the three entries behind the others.
func withNFS(d *dtyp.SecurityDescriptor, i *info) *dtyp.SecurityDescriptor {
	if d.DACL == nil {
		return d
	}
	l := &dtyp.ACL{Revision: d.DACL.Revision, ACEs: append([]dtyp.ACE(nil), d.DACL.ACEs...)}
	for _, sid := range []dtyp.SID{nfsSID(nfsMode, i.mode&0o7777), nfsSID(nfsOwner, i.uid), nfsSID(nfsGroup, i.gid)} {
		l.ACEs = append(l.ACEs, dtyp.ACE{Type: dtyp.AccessDenied, SID: sid})
	}
	out := *d
	out.DACL = l
	return &out
}

// takeNFS takes the entries out of a list that a Mac sets; mode is the one that it wants.
func takeNFS(l *dtyp.ACL) (mode uint32, wants bool) {
	rest := l.ACEs[:0]
	for _, a := range l.ACEs {
		kind, value, ok := nfsEntry(a.SID)
		if !ok {
			rest = append(rest, a)
		} else if kind == nfsMode {
			mode, wants = value&0o7777, true
		}
	}
	l.ACEs = rest
	return mode, wants
}

// setNFSMode changes the mode, where it is another, and reports whether it did: then the list that came with it is the old one.
func setNFSMode(f *os.File, i *info, mode uint32) (bool, error) {
	if mode == i.mode&0o7777 {
		return false, nil
	}
	return true, export.Change(int(f.Fd()), &export.Changes{Mode: &mode})
}
