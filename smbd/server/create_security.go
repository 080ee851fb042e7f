package server

import (
	"dittofs/smbd/dtyp"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// secure gives what was made its descriptor: the one that the client gave, for what that leaves out what the directory's says, and else the
// mode that it was made with. [MS-SMB2] 3.3.5.9.2, [MS-DTYP] 2.5.3.4.
func (c *creation) secure() error {
	raw := c.q.Contexts.SecurityDescriptor
	var given dtyp.SecurityDescriptor
	which := smb2.OwnerSecurityInformation | smb2.GroupSecurityInformation
	if raw != nil {
		if err := given.Parse(raw); err != nil {
			return ntstatus.InvalidSecurityDescr
		}
		if given.Control&dtyp.DACLPresent != 0 {
			which |= smb2.DACLSecurityInformation
		}
	}
	if c.above != nil && which&smb2.DACLSecurityInformation == 0 {
		if err := inherit(c.file, c.info, c.above); err != nil {
			return err
		}
	}
	if raw == nil {
		return nil
	}
	return c.s.setSecurity(c.file, raw, which)
}
