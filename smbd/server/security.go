package server

import (
	"os"
	"slices"

	"dittofs/gateway/export"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Security descriptors in QUERY_INFO and SET_INFO, [MS-SMB2] 3.3.5.20.3 and 3.3.5.21.3. How a file has one, descriptor.go says.

const allSecurity = smb2.OwnerSecurityInformation | smb2.GroupSecurityInformation | smb2.DACLSecurityInformation

func querySecurity(o *open, q *smb2.QueryInfoRequest) (reply, error) {
	which := smb2.SecurityInformation(q.AdditionalInformation)
	if which&smb2.SACLSecurityInformation != 0 {
		return nil, ntstatus.AccessDenied // ACCESS_SYSTEM_SECURITY, which nobody has
	}
	if which&allSecurity != 0 && o.access&smb2.ReadControl == 0 {
		return nil, ntstatus.AccessDenied
	}
	i, err := statFile(o.file, o.called())
	if err != nil {
		return nil, err
	}
	d := descriptor(o.file, i)
	if o.tree.aapl.Load() {
		d = withNFS(d, i)
	}
	b := parts(d, which).Append(nil)
	if uint64(len(b)) > uint64(q.OutputBufferLength) {
		// The client learns how much room it needs. [MS-SMB2] 3.3.5.20.3.
		return nil, errorBody{ntstatus.BufferTooSmall, &smb2.ErrorResponse{Data: []byte{byte(len(b)), byte(len(b) >> 8), byte(len(b) >> 16), 0}}}
	}
	return &smb2.QueryInfoResponse{Buffer: b}, nil
}

// parts is what was asked for of a descriptor.
func parts(d *dtyp.SecurityDescriptor, which smb2.SecurityInformation) *dtyp.SecurityDescriptor {
	out := &dtyp.SecurityDescriptor{}
	if which&smb2.OwnerSecurityInformation != 0 {
		out.Owner = d.Owner
	}
	if which&smb2.GroupSecurityInformation != 0 {
		out.Group = d.Group
	}
	if which&smb2.DACLSecurityInformation != 0 {
		out.DACL, out.Control = d.DACL, d.Control&ofDACL
	}
	return out
}

// ofDACL are the flags that belong to the list.
const ofDACL = dtyp.DACLPresent | dtyp.DACLDefaulted | dtyp.DACLAutoInherited | dtyp.DACLProtected

// setSecurityInfo is SET_INFO's part: the open must have been granted the rights that the parts need.
func setSecurityInfo(r *request, o *open, which smb2.SecurityInformation, raw []byte) error {
	var need smb2.AccessMask
	if which&(smb2.OwnerSecurityInformation|smb2.GroupSecurityInformation) != 0 {
		need |= smb2.WriteOwner
	}
	if which&smb2.DACLSecurityInformation != 0 {
		need |= smb2.WriteDAC
	}
	if which&^allSecurity != 0 || o.access&need != need {
		return ntstatus.AccessDenied
	}
	return r.session.setSecurity(o.file, raw, which)
}

// setSecurity changes the parts of a file's descriptor that a client gives. The rights to do so were checked when the file was opened.
func (s *session) setSecurity(f *os.File, raw []byte, which smb2.SecurityInformation) error {
	var given dtyp.SecurityDescriptor
	if err := given.Parse(raw); err != nil {
		return ntstatus.InvalidSecurityDescr
	}
	i, err := statFile(f, "")
	if err != nil {
		return err
	}
	d := descriptor(f, i)
	var c export.Changes
	if given.Owner != nil && which&smb2.OwnerSecurityInformation != 0 && *given.Owner != *d.Owner {
		if err := s.owns(*given.Owner, &c); err != nil {
			return err
		}
		d.Owner = given.Owner
	}
	if given.Group != nil && which&smb2.GroupSecurityInformation != 0 && *given.Group != *d.Group {
		if err := s.belongs(*given.Group, &c); err != nil {
			return err
		}
		d.Group = given.Group
	}
	if which&smb2.DACLSecurityInformation != 0 && given.DACL != nil {
		if mode, wants := takeNFS(given.DACL); wants {
			if changed, err := setNFSMode(f, i, mode); changed || err != nil {
				return err
			}
		}
	}
	if which&smb2.DACLSecurityInformation != 0 {
		given.DACL.Specific(specific)
		d.DACL, d.Control = given.DACL, dtyp.SelfRelative|dtyp.DACLPresent|given.Control&ofDACL
		// Only who asks for it says that the list was inherited automatically. [MS-FSA] 2.1.5.17.
		if given.Control&dtyp.DACLAutoInheritReq == 0 {
			d.Control &^= dtyp.DACLAutoInherited
		}
	}
	if c.UID != nil || c.GID != nil {
		if err := export.Change(int(f.Fd()), &c); err != nil {
			return err
		}
		if i, err = statFile(f, ""); err != nil {
			return err
		}
	}
	return describe(f, i, d)
}

// owns checks whom a user may make the owner: himself, or one of the groups that he acts for. User 0 may name anybody.
func (s *session) owns(sid dtyp.SID, c *export.Changes) error {
	if s.cred().UID != 0 && !slices.Contains(s.token(), sid) {
		return ntstatus.InvalidOwner
	}
	if uid, ok := sid.UnixUID(); ok {
		c.UID = &uid
	}
	return nil
}

// belongs checks which group a user may give a file. A group that Unix does not know is only remembered.
func (s *session) belongs(sid dtyp.SID, c *export.Changes) error {
	gid, ok := sid.UnixGID()
	if !ok {
		return nil
	}
	if s.cred().UID != 0 && !slices.Contains(s.token(), sid) {
		return ntstatus.InvalidPrimaryGroup
	}
	c.GID = &gid
	return nil
}

// inherit gives a new file what its directory's descriptor says that new files have, if it says anything.
func inherit(f *os.File, i *info, dir *dtyp.SecurityDescriptor) error {
	owner, group := dtyp.UnixUser(i.uid), dtyp.UnixGroup(i.gid)
	auto := dir.Control&dtyp.DACLAutoInherited != 0
	l := dir.DACL.Inherit(i.isDir(), auto, owner, group, specific)
	if l == nil {
		return nil
	}
	d := &dtyp.SecurityDescriptor{Control: dtyp.SelfRelative | dtyp.DACLPresent, Owner: &owner, Group: &group, DACL: l}
	if auto {
		d.Control |= dtyp.DACLAutoInherited
	}
	return describe(f, i, d)
}
