package server

import (
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/smb2"
)

// What a session may do with a file whose security descriptor is kept. Of all other files the kernel says it. User 0 may do everything.

// token is as whom a session's access is checked.
func (s *session) token() dtyp.Token {
	i := s.identity.Load()
	if i.anonymous {
		return dtyp.Token{dtyp.Anonymous, dtyp.Network}
	}
	t := make(dtyp.Token, 0, 6+len(i.cred.Groups))
	t = append(t, dtyp.UnixUser(i.cred.UID), dtyp.UnixGroup(i.cred.GID), dtyp.Everyone, dtyp.AuthenticatedUsers, dtyp.Users, dtyp.Network)
	for _, g := range i.cred.Groups {
		t = append(t, dtyp.UnixGroup(g))
	}
	return t
}

// verdict is what a kept descriptor grants a session; nil where none is kept.
type verdict *smb2.AccessMask

// judge asks the descriptor that is kept for a file. i may be nil.
func (s *session) judge(f *os.File, i *info) verdict {
	return s.verdictOf(kept(f, i))
}

func (s *session) verdictOf(d *dtyp.SecurityDescriptor) verdict {
	if d == nil {
		return nil
	}
	if i := s.identity.Load(); i.cred.UID == 0 && !i.anonymous {
		return nil
	}
	granted := smb2.AccessMask(d.Granted(s.token())) | smb2.FileReadAttributes // who finds a name may ask what it is
	return &granted
}

// mayDelete reports whether the name at a place may go: by the file's descriptor or its directory's, [MS-FSA] 2.1.5.1.2.1, and never
// against the kernel, which knows the directory's write permission, and where it is sticky, whose file it is.
func (s *session) mayDelete(p *place, i *info, file verdict) bool {
	if p.parent == nil {
		return false // the share's root
	}
	if !allowsDelete(p, i, s.cred()) {
		return false
	}
	dir := s.judge(p.parent, nil)
	return dir == nil || *dir&smb2.FileDeleteChild != 0 || file != nil && *file&smb2.Delete != 0
}

// allowsDelete asks the kernel, as the user.
func allowsDelete(p *place, i *info, cred export.Cred) bool {
	if export.MayAccess(int(p.parent.Fd()), unix.W_OK|unix.X_OK) != nil {
		return false
	}
	if cred.UID == 0 || cred.UID == i.uid {
		return true
	}
	d, err := export.Stat(int(p.parent.Fd()))
	return err == nil && (d.Mode&unix.S_ISVTX == 0 || d.UID == cred.UID)
}

// mayMake reports whether the session may make something in a directory, as far as the directory's descriptor says.
func mayMake(dir verdict, directory bool) bool {
	if directory {
		return dir == nil || *dir&smb2.FileAddSubdirectory != 0
	}
	return dir == nil || *dir&smb2.FileAddFile != 0
}
