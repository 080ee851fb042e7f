package server

import (
	"cmp"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/smb2"
)

// Between security descriptors and mode and POSIX ACL. The owner is S-1-22-1-UID, a group S-1-22-2-GID.

const (
	maskRead    = uint32(smb2.FileGenericRead)
	maskWrite   = uint32(smb2.FileGenericWrite | smb2.FileDeleteChild)
	maskExecute = uint32(smb2.FileGenericExecute)
	maskAlways  = uint32(smb2.ReadControl | smb2.FileReadAttributes | smb2.FileReadEA | smb2.Synchronize)
	maskOwner   = uint32(smb2.Delete | smb2.ReadControl | smb2.WriteDAC | smb2.WriteOwner | smb2.FileWriteAttributes | smb2.FileWriteEA)
)

// bitsMask is what permissions mean as rights.
func bitsMask(bits uint16) uint32 {
	m := maskAlways
	for i, mask := range [...]uint32{maskExecute, maskWrite, maskRead} {
		if bits&(1<<i) != 0 {
			m |= mask
		}
	}
	return m
}

// withheld are the rights that stand for permissions that somebody shall not have.
func withheld(bits uint16) uint32 {
	return bitsMask(bits) &^ maskAlways &^ uint32(smb2.FileWriteAttributes|smb2.FileWriteEA)
}

// entries are the ACL's, or what the mode says; those that the mask limits are limited.
func (p *posix) entries() export.ACL {
	bits := func(shift int) uint16 { return uint16(p.mode >> shift & 7) }
	l, err := export.ParseACL(p.access)
	if err != nil {
		return export.ACL{{Tag: export.ACLOwner, Perm: bits(6)}, {Tag: export.ACLGroupObj, Perm: bits(3)}, {Tag: export.ACLOther, Perm: bits(0)}}
	}
	return unmasked(l)
}

func unmasked(l export.ACL) export.ACL {
	mask, ok := l.Get(export.ACLMask)
	out := l[:0:0]
	for _, e := range l {
		switch e.Tag {
		case export.ACLMask:
			continue
		case export.ACLUser, export.ACLGroupObj, export.ACLGroup:
			if ok {
				e.Perm &= mask
			}
		}
		out = append(out, e)
	}
	return out
}

// sid is whom an entry is about.
func (p *posix) sid(e export.ACLEntry) dtyp.SID {
	switch e.Tag {
	case export.ACLOwner:
		return dtyp.UnixUser(p.uid)
	case export.ACLUser:
		return dtyp.UnixUser(e.ID)
	case export.ACLGroupObj:
		return dtyp.UnixGroup(p.gid)
	case export.ACLGroup:
		return dtyp.UnixGroup(e.ID)
	}
	return dtyp.Everyone
}

// descriptor says what mode and ACLs say. The kernel takes the first kind of entry that fits, a descriptor adds them up: who has less than
// those behind him is denied the rest.
func (p *posix) descriptor() *dtyp.SecurityDescriptor {
	owner, group := dtyp.UnixUser(p.uid), dtyp.UnixGroup(p.gid)
	d := &dtyp.SecurityDescriptor{Control: dtyp.SelfRelative | dtyp.DACLPresent, Owner: &owner, Group: &group, DACL: &dtyp.ACL{Revision: dtyp.ACLRevision}}
	all := p.entries()
	var behind uint16 // what entries of a later kind allow
	rest := func(from int, users bool) {
		behind = 0
		for _, e := range all[from:] {
			if !users || e.Tag != export.ACLUser {
				behind |= e.Perm
			}
		}
	}
	add := func(t dtyp.ACEType, s dtyp.SID, mask uint32, f dtyp.ACEFlags) {
		d.DACL.ACEs = append(d.DACL.ACEs, dtyp.ACE{Type: t, SID: s, Mask: mask, Flags: f})
	}
	denied := func(i int) {
		e := all[i]
		switch e.Tag {
		case export.ACLOwner, export.ACLUser:
			rest(i+1, true)
		case export.ACLGroupObj, export.ACLGroup:
			behind, _ = all.Get(export.ACLOther)
		default:
			return
		}
		if less := behind &^ e.Perm; less != 0 {
			add(dtyp.AccessDenied, p.sid(e), withheld(less), 0)
		}
	}
	groups := slices.IndexFunc(all, func(e export.ACLEntry) bool { return e.Tag == export.ACLGroupObj })
	for _, part := range [][2]int{{0, groups}, {groups, len(all)}} {
		for i := part[0]; i < part[1]; i++ {
			denied(i)
		}
		for _, e := range all[part[0]:part[1]] {
			mask := bitsMask(e.Perm)
			if e.Tag == export.ACLOwner {
				mask |= maskOwner
			}
			add(dtyp.AccessAllowed, p.sid(e), mask, 0)
		}
	}
	if l, err := export.ParseACL(p.def); err == nil {
		for _, e := range unmasked(l) {
			s, mask := p.sid(e), bitsMask(e.Perm)
			switch e.Tag {
			case export.ACLOwner:
				s, mask = dtyp.CreatorOwner, mask|maskOwner
			case export.ACLGroupObj:
				s = dtyp.CreatorGroup
			}
			add(dtyp.AccessAllowed, s, mask, dtyp.ObjectInherit|dtyp.ContainerInherit|dtyp.InheritOnly)
		}
	}
	return d
}

// permissions are what a descriptor gives to whom has these SIDs. A directory that may be used at all may be passed through: Windows asks
// nobody for FILE_TRAVERSE on the way to a file.
func permissions(d *dtyp.SecurityDescriptor, dir bool, t ...dtyp.SID) (bits uint16) {
	g := smb2.AccessMask(d.Granted(append(t, dtyp.Everyone, dtyp.AuthenticatedUsers, dtyp.Users)))
	write := smb2.FileWriteData
	if dir {
		write |= smb2.FileAddSubdirectory | smb2.FileDeleteChild
	}
	if g&smb2.FileReadData != 0 {
		bits |= unix.R_OK
	}
	if g&write != 0 {
		bits |= unix.W_OK
	}
	if g&smb2.FileExecute != 0 || dir && bits != 0 {
		bits |= unix.X_OK
	}
	return bits
}

// expressed is a descriptor as an ACL of entries for owner, named users, group, named groups and others.
func expressed(d *dtyp.SecurityDescriptor, dir bool, uid, gid uint32) export.ACL {
	owner, group := dtyp.UnixUser(uid), dtyp.UnixGroup(gid)
	l := export.ACL{
		{Tag: export.ACLOwner, Perm: permissions(d, dir, owner, group)},
		{Tag: export.ACLGroupObj, Perm: permissions(d, dir, group)},
		{Tag: export.ACLOther, Perm: permissions(d, dir)},
	}
	if d.DACL == nil {
		return l
	}
	for _, e := range d.DACL.ACEs {
		n := export.ACLEntry{}
		if id, ok := e.SID.UnixUID(); ok && id != uid {
			n = export.ACLEntry{Tag: export.ACLUser, ID: id, Perm: permissions(d, dir, e.SID)}
		} else if id, ok := e.SID.UnixGID(); ok && id != gid {
			n = export.ACLEntry{Tag: export.ACLGroup, ID: id, Perm: permissions(d, dir, e.SID)}
		}
		if n.Tag != 0 && e.Flags&dtyp.InheritOnly == 0 && !slices.Contains(l, n) {
			l = append(l, n)
		}
	}
	if len(l) > 3 {
		mask := uint16(0)
		for _, e := range l {
			if e.Tag == export.ACLUser || e.Tag == export.ACLGroupObj || e.Tag == export.ACLGroup {
				mask |= e.Perm
			}
		}
		l = append(l, export.ACLEntry{Tag: export.ACLMask, Perm: mask})
	}
	slices.SortStableFunc(l, func(a, b export.ACLEntry) int { return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.ID, b.ID)) })
	return l
}

// expression is what comes closest to a descriptor.
type expression struct {
	access, def export.ACL
	readonly    bool
}

func express(d *dtyp.SecurityDescriptor, i *info) *expression {
	x := &expression{access: expressed(d, i.isDir(), i.uid, i.gid), readonly: !i.isDir() && i.marked && i.attributes&smb2.FileAttributeReadonly != 0}
	if !i.isDir() {
		return x
	}
	owner, group := dtyp.UnixUser(i.uid), dtyp.UnixGroup(i.gid)
	for _, container := range []bool{true, false} {
		if l := d.DACL.Inherit(container, false, owner, group, specific); l != nil && x.def == nil {
			child := dtyp.SecurityDescriptor{Owner: &owner, DACL: l}
			if x.def = expressed(&child, true, i.uid, i.gid); !slices.ContainsFunc(x.def, func(e export.ACLEntry) bool { return e.Perm != 0 }) {
				x.def = nil
			}
		}
	}
	return x
}

// apply sets mode and ACLs. On a file system without ACLs the mode alone has to do.
func (x *expression) apply(f *os.File, i *info) error {
	if x.readonly {
		for n := range x.access {
			x.access[n].Perm &^= unix.W_OK
		}
	}
	err := export.SetXattr(int(f.Fd()), export.AccessACL, x.access.Append(nil), 0) // which sets the mode
	if err == unix.EOPNOTSUPP {
		perm := func(tag export.ACLTag) uint32 { p, _ := x.access.Get(tag); return uint32(p) }
		mode := i.mode&0o7000 | perm(export.ACLOwner)<<6 | perm(export.ACLGroupObj)<<3 | perm(export.ACLOther)
		err = export.Change(int(f.Fd()), &export.Changes{Mode: &mode})
	}
	if err != nil || !i.isDir() {
		return err
	}
	if x.def == nil {
		removeXattr(f, export.DefaultACL)
		return nil
	}
	if err := export.SetXattr(int(f.Fd()), export.DefaultACL, x.def.Append(nil), 0); err != unix.EOPNOTSUPP {
		return err
	}
	return nil
}
