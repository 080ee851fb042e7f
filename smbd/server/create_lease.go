package server

import (
	"dittofs/gateway/lock"
	"dittofs/smbd/smb2"
)

// Oplocks and leases in CREATE, [MS-SMB2] 3.3.5.9, 3.3.5.9.8 and 3.3.5.9.11. What is granted, the law says.

// oplockRights is what an oplock level means as caching rights; [MS-FSA] 2.1.5.18 grants both alike.
func oplockRights(l smb2.OplockLevel) lock.Rights {
	switch l {
	case smb2.OplockII:
		return lock.R
	case smb2.OplockExclusive:
		return lock.R | lock.W
	case smb2.OplockBatch:
		return lock.R | lock.W | lock.H
	}
	return 0
}

func oplockLevel(r lock.Rights) smb2.OplockLevel {
	switch {
	case r&lock.W != 0 && r&lock.H != 0:
		return smb2.OplockBatch
	case r&lock.W != 0:
		return smb2.OplockExclusive
	case r&lock.R != 0:
		return smb2.OplockII
	}
	return smb2.OplockNone
}

// cache fills in what the client wants to cache.
func (c *creation) cache(o *open, req *lock.OpenRequest) {
	conn, l := c.r.chain.c, c.q.Contexts.Lease
	switch {
	case c.q.RequestedOplockLevel != smb2.OplockLease:
		if !o.directory { // directories have leases only
			o.kind, req.Rights = lock.Oplock, oplockRights(c.q.RequestedOplockLevel)
		}
		if req.Rights == 0 {
			o.kind = lock.NoCache
		}
	case l == nil || conn.ours&smb2.CapLeasing == 0:
	case l.V2 && conn.ours&smb2.CapDirectoryLeasing == 0:
		// V2 belongs to 3.x: the context is ignored. [MS-SMB2] 3.3.5.9.11.
	default:
		o.kind, o.leaseKey, req.Rights = lock.LeaseV1, lock.GUID(l.Key), leaseRights(l.State)
		if l.V2 {
			o.kind, req.Epoch = lock.LeaseV2, l.Epoch
			o.parentKey = c.parentKey()
		}
		if o.directory && (conn.ours&smb2.CapDirectoryLeasing == 0 || !l.V2) {
			req.Rights = 0
		} else if o.directory {
			req.Rights &^= lock.W
		}
	}
	req.Kind, req.LeaseKey, req.ParentKey = o.kind, o.leaseKey, o.parentKey
}

// leaseRights takes the state as wire's bits; a combination that is not legal counts as nothing. [MS-SMB2] 2.2.13.2.8.
func leaseRights(s smb2.LeaseState) lock.Rights {
	r := lock.Rights(s & (smb2.LeaseReadCaching | smb2.LeaseHandleCaching | smb2.LeaseWriteCaching))
	if r&lock.R == 0 {
		return 0
	}
	return r
}

// parentKey is the directory's lease key that the client gave, zero if none.
func (c *creation) parentKey() lock.GUID {
	if l := c.q.Contexts.Lease; l != nil && l.V2 && l.Flags&smb2.LeaseFlagParentKeySet != 0 {
		return lock.GUID(l.Parent)
	}
	return lock.GUID{}
}

// cached is what the response says of the client's rights to cache. A lease answers in the version that it was first asked for in.
func (o *open) cached() (smb2.OplockLevel, *smb2.Lease) {
	switch o.kind {
	case lock.Oplock:
		return oplockLevel(o.granted), nil
	case lock.LeaseV1, lock.LeaseV2:
		l := &smb2.Lease{V2: o.kind == lock.LeaseV2, Key: smb2.LeaseKey(o.leaseKey), State: smb2.LeaseState(o.granted)}
		if o.breaking {
			l.Flags |= smb2.LeaseFlagBreakInProgress
		}
		if l.V2 {
			l.Epoch = o.epoch
			if !o.parentKey.IsZero() {
				l.Flags |= smb2.LeaseFlagParentKeySet
				l.Parent = smb2.LeaseKey(o.parentKey)
			}
		}
		return smb2.OplockLease, l
	}
	return smb2.OplockNone, nil
}
