package server

import (
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Security descriptors over owner, group and mode. The owner is S-1-22-1-UID, the group S-1-22-2-GID, and three entries say what the mode
// says. A descriptor that a mode cannot express is refused, not bent.

const allSecurity = smb2.OwnerSecurityInformation | smb2.GroupSecurityInformation | smb2.DACLSecurityInformation

const (
	maskRead    = uint32(smb2.FileGenericRead)
	maskWrite   = uint32(smb2.FileGenericWrite | smb2.FileDeleteChild)
	maskExecute = uint32(smb2.FileGenericExecute)
)

// descriptor tells owner, group and mode.
func descriptor(i *info, which smb2.SecurityInformation) *dtyp.SecurityDescriptor {
	d := &dtyp.SecurityDescriptor{}
	owner, group := dtyp.UnixUser(i.uid), dtyp.UnixGroup(i.gid)
	if which&smb2.OwnerSecurityInformation != 0 {
		d.Owner = &owner
	}
	if which&smb2.GroupSecurityInformation != 0 {
		d.Group = &group
	}
	if which&smb2.DACLSecurityInformation != 0 {
		d.DACL = &dtyp.ACL{Revision: dtyp.ACLRevision, ACEs: []dtyp.ACE{
			{Type: dtyp.AccessAllowed, SID: owner, Mask: modeMask(i.mode>>6) | uint32(smb2.Delete|smb2.ReadControl|smb2.WriteDAC|smb2.FileWriteAttributes)},
			{Type: dtyp.AccessAllowed, SID: group, Mask: modeMask(i.mode >> 3)},
			{Type: dtyp.AccessAllowed, SID: dtyp.Everyone, Mask: modeMask(i.mode)},
		}}
	}
	return d
}

func modeMask(bits uint32) uint32 {
	m := uint32(smb2.ReadControl | smb2.FileReadAttributes | smb2.FileReadEA | smb2.Synchronize)
	if bits&4 != 0 {
		m |= maskRead
	}
	if bits&2 != 0 {
		m |= maskWrite
	}
	if bits&1 != 0 {
		m |= maskExecute
	}
	return m
}

func querySecurity(o *open, q *smb2.QueryInfoRequest) (reply, error) {
	which := smb2.SecurityInformation(q.AdditionalInformation)
	if which&smb2.SACLSecurityInformation != 0 {
		return nil, ntstatus.AccessDenied
	}
	if which&allSecurity != 0 && o.access&smb2.ReadControl == 0 {
		return nil, ntstatus.AccessDenied
	}
	i, err := statFile(o.file, o.called())
	if err != nil {
		return nil, err
	}
	b := descriptor(i, which).Append(nil)
	if uint64(len(b)) > uint64(q.OutputBufferLength) {
		// The client learns how much room it needs. [MS-SMB2] 3.3.5.20.3.
		return nil, errorBody{ntstatus.BufferTooSmall, &smb2.ErrorResponse{Data: []byte{byte(len(b)), byte(len(b) >> 8), byte(len(b) >> 16), 0}}}
	}
	return &smb2.QueryInfoResponse{Buffer: b}, nil
}

// setSecurity changes owner, group and mode to what a descriptor says. It runs as the user.
func setSecurity(f *os.File, raw []byte, which smb2.SecurityInformation) error {
	var d dtyp.SecurityDescriptor
	if err := d.Parse(raw); err != nil {
		return ntstatus.InvalidSecurityDescr
	}
	i, err := statFile(f, "")
	if err != nil {
		return err
	}
	var c export.Changes
	if d.Owner != nil && which&smb2.OwnerSecurityInformation != 0 {
		uid, ok := d.Owner.UnixUID()
		if !ok {
			return ntstatus.InvalidSID
		}
		if i.uid != uid {
			c.UID, i.uid = &uid, uid
		}
	}
	if d.Group != nil && which&smb2.GroupSecurityInformation != 0 {
		gid, ok := d.Group.UnixGID()
		if !ok {
			return ntstatus.InvalidSID
		}
		if i.gid != gid {
			c.GID, i.gid = &gid, gid
		}
	}
	if which&smb2.DACLSecurityInformation != 0 && d.DACL != nil {
		mode, ok := modeOf(d.DACL, i)
		if !ok {
			return ntstatus.NotSupported
		}
		c.Mode = &mode
	}
	return export.Change(int(f.Fd()), &c)
}

// modeOf is the mode that says what the list says; ok is false where none does.
func modeOf(l *dtyp.ACL, i *info) (mode uint32, ok bool) {
	mode = i.mode & (unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX)
	for _, e := range l.ACEs {
		if e.Flags&dtyp.InheritOnly != 0 {
			continue
		}
		shift := uint32(0)
		switch uid, isUser := e.SID.UnixUID(); {
		case e.Type != dtyp.AccessAllowed:
			return 0, false
		case isUser && uid == i.uid:
			shift = 6
		case e.SID == dtyp.Everyone:
		default:
			if gid, isGroup := e.SID.UnixGID(); !isGroup || gid != i.gid {
				return 0, false
			}
			shift = 3
		}
		var bits uint32
		if e.Mask&uint32(smb2.FileReadData|smb2.GenericRead|smb2.GenericAll) != 0 {
			bits |= 4
		}
		if e.Mask&uint32(smb2.FileWriteData|smb2.GenericWrite|smb2.GenericAll) != 0 {
			bits |= 2
		}
		if e.Mask&uint32(smb2.FileExecute|smb2.GenericExecute|smb2.GenericAll) != 0 {
			bits |= 1
		}
		mode |= bits << shift
	}
	return mode, true
}
