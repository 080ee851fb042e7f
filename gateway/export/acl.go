package export

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The extended attributes in which the kernel keeps POSIX.1e access control lists, acl(5): of the file, and of what is made in a directory.
const (
	AccessACL  = "system.posix_acl_access"
	DefaultACL = "system.posix_acl_default"
)

// ACLTag says whom an entry is about. Entries stand in the order of their tags.
type ACLTag uint16

// Tags.
const (
	ACLOwner     ACLTag = 0x01
	ACLUser      ACLTag = 0x02
	ACLGroupObj  ACLTag = 0x04
	ACLGroup     ACLTag = 0x08
	ACLMask      ACLTag = 0x10
	ACLOther     ACLTag = 0x20
	aclVersion          = 2
	aclNoID             = ^uint32(0)
	aclEntrySize        = 8
)

// ACLEntry is one entry; ID counts for ACLUser and ACLGroup.
type ACLEntry struct {
	Tag  ACLTag
	Perm uint16 // R_OK, W_OK, X_OK
	ID   uint32
}

// ACL is an access control list.
type ACL []ACLEntry

// ParseACL reads the form that the kernel's attributes have, linux/posix_acl_xattr.h.
func ParseACL(b []byte) (ACL, error) {
	le := binary.LittleEndian
	if len(b) < 4 || le.Uint32(b) != aclVersion || (len(b)-4)%aclEntrySize != 0 {
		return nil, unix.EINVAL
	}
	b = b[4:]
	a := make(ACL, 0, len(b)/aclEntrySize)
	for ; len(b) > 0; b = b[aclEntrySize:] {
		e := ACLEntry{Tag: ACLTag(le.Uint16(b)), Perm: le.Uint16(b[2:]) & 7}
		switch e.Tag {
		case ACLUser, ACLGroup:
			e.ID = le.Uint32(b[4:])
		case ACLOwner, ACLGroupObj, ACLMask, ACLOther:
		default:
			return nil, unix.EINVAL
		}
		a = append(a, e)
	}
	return a, nil
}

// Append appends that form.
func (a ACL) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, aclVersion)
	for _, e := range a {
		b = le.AppendUint16(b, uint16(e.Tag))
		b = le.AppendUint16(b, e.Perm)
		if e.Tag != ACLUser && e.Tag != ACLGroup {
			e.ID = aclNoID
		}
		b = le.AppendUint32(b, e.ID)
	}
	return b
}

// Get is the permission of the first entry with a tag.
func (a ACL) Get(tag ACLTag) (perm uint16, ok bool) {
	for _, e := range a {
		if e.Tag == tag {
			return e.Perm, true
		}
	}
	return 0, false
}
