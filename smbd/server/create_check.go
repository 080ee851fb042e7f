package server

import (
	"strings"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// legalAccess are the bits that a DesiredAccess may have. [MS-SMB2] 2.2.13.1.1.
const legalAccess = smb2.FileAllAccess | smb2.AccessSystemSecurity | smb2.MaximumAllowed |
	smb2.GenericAll | smb2.GenericExecute | smb2.GenericRead | smb2.GenericWrite

// writes are the rights that change something.
const writes = smb2.FileWriteData | smb2.FileAppendData | smb2.FileWriteEA | smb2.FileDeleteChild | smb2.FileWriteAttributes |
	smb2.Delete | smb2.WriteDAC | smb2.WriteOwner

// check refuses what cannot be meant, before anything is looked at. [MS-SMB2] 3.3.5.9, [MS-FSA] 2.1.5.1.
func (c *creation) check() (err error) {
	q, o := c.q, c.q.CreateOptions
	switch {
	case q.ImpersonationLevel > smb2.Delegate:
		return ntstatus.BadImpersonationLevel
	case q.CreateDisposition > smb2.FileOverwriteIf,
		q.ShareAccess&^(smb2.FileShareRead|smb2.FileShareWrite|smb2.FileShareDelete) != 0,
		q.FileAttributes&^smb2.FileAttributesValid != 0,
		o&smb2.FileDirectoryFile != 0 && o&smb2.FileNonDirectoryFile != 0:
		return ntstatus.InvalidParameter
	case o&smb2.FileDirectoryFile != 0 && c.truncates():
		return ntstatus.InvalidParameter
	case o&smb2.FileOpenByFileID != 0, o&(smb2.FileReserveOpfilter|smb2.FileOpenRequiringOplock) != 0:
		return ntstatus.NotSupported
	case strings.HasPrefix(q.Name, `\`):
		return ntstatus.InvalidParameter
	case q.DesiredAccess == 0 || q.DesiredAccess&^legalAccess != 0:
		return ntstatus.AccessDenied
	case q.DesiredAccess&smb2.AccessSystemSecurity != 0:
		return ntstatus.PrivilegeNotHeld
	case q.RequestedOplockLevel == smb2.OplockLease && q.Contexts.Lease == nil && c.r.chain.c.ours&smb2.CapLeasing != 0:
		// A lease is asked for and none is described: as if none was asked for.
		q.RequestedOplockLevel = smb2.OplockNone
	}
	c.access = q.DesiredAccess.Mapped()
	c.max = c.access&smb2.MaximumAllowed != 0
	c.access &^= smb2.MaximumAllowed
	if c.access&writes&^c.tree.maximal != 0 {
		return ntstatus.AccessDenied // the share is read-only
	}
	if o&smb2.FileDeleteOnClose != 0 && c.access&smb2.Delete == 0 && !c.max {
		return ntstatus.AccessDenied
	}
	path, then := cutToken(q.Name)
	file, s, err := cutStream(path)
	if err != nil {
		return err
	}
	if c.parts, err = components(file); err != nil {
		return err
	}
	switch c.stream = s; {
	case s.given && c.tree.share.terms().NoStreams:
		return ntstatus.ObjectNameInvalid
	case s.given && o&smb2.FileDirectoryFile != 0:
		return ntstatus.NotADirectory
	case s.given && s.name == "":
		q.CreateOptions |= smb2.FileNonDirectoryFile // a directory has no unnamed stream
	}
	if x := q.Contexts.ExtendedAttributes; x != nil {
		if c.eas, err = checkEAs(x); err != nil {
			return err
		}
	}
	c.asked = c.access
	if c.vol, err = c.tree.volume(); err != nil {
		return err
	}
	return c.goBack(then)
}

// truncates reports whether the disposition empties a file that is there.
func (c *creation) truncates() bool {
	switch c.q.CreateDisposition {
	case smb2.FileSupersede, smb2.FileOverwrite, smb2.FileOverwriteIf:
		return true
	}
	return false
}

// overwrites is truncates for the counter, which looks at files only.
func (c *creation) overwrites() bool { return c.truncates() && c.stream.name == "" && !c.info.isDir() }

// counterAccess are the rights that share modes and leases look at.
func counterAccess(a smb2.AccessMask) (l lock.Access) {
	for _, m := range [...]struct {
		wire smb2.AccessMask
		law  lock.Access
	}{
		{smb2.FileReadData, lock.Read}, {smb2.FileWriteData, lock.Write}, {smb2.FileAppendData, lock.Append},
		{smb2.FileExecute, lock.Execute}, {smb2.Delete, lock.Delete},
	} {
		if a&m.wire != 0 {
			l |= m.law
		}
	}
	// [MS-FSA] 2.1.4.12: these three alone break nothing.
	switch rest := a &^ (smb2.FileReadAttributes | smb2.FileWriteAttributes | smb2.Synchronize); {
	case l != 0 || rest == 0:
	case rest == smb2.ReadControl:
		l = lock.Inspect
	default:
		l = lock.Other
	}
	return l
}

// counterShare: the bits are the same.
func counterShare(s smb2.ShareAccess) lock.Share { return lock.Share(s) & lock.ShareAll }
