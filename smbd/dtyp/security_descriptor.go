package dtyp

import "dittofs/smbd/wire"

// Control are a security descriptor's flags, [MS-DTYP] 2.4.6.
type Control uint16

// Control flags.
const (
	OwnerDefaulted     Control = 0x0001
	GroupDefaulted     Control = 0x0002
	DACLPresent        Control = 0x0004
	DACLDefaulted      Control = 0x0008
	SACLPresent        Control = 0x0010
	SACLDefaulted      Control = 0x0020
	DACLAutoInheritReq Control = 0x0100
	SACLAutoInheritReq Control = 0x0200
	DACLAutoInherited  Control = 0x0400
	SACLAutoInherited  Control = 0x0800
	DACLProtected      Control = 0x1000
	SACLProtected      Control = 0x2000
	RMControlValid     Control = 0x4000
	SelfRelative       Control = 0x8000
)

const (
	sdRevision = 1
	sdHeader   = 20
	maxSD      = 1 << 20
)

// SecurityDescriptor is a SECURITY_DESCRIPTOR in self-relative form, [MS-DTYP] 2.4.6. A nil part is absent; a DACL that is present
// (DACLPresent) and nil grants everything to everybody.
type SecurityDescriptor struct {
	Control Control // Append sets SelfRelative, DACLPresent where there is a DACL, and SACLPresent likewise
	Owner   *SID
	Group   *SID
	SACL    *ACL
	DACL    *ACL
}

// Parse reads a security descriptor of at most 1 MiB.
func (d *SecurityDescriptor) Parse(b []byte) error {
	c := wire.Reader(b)
	if len(b) > maxSD || c.Uint8() != sdRevision {
		return wire.ErrValue
	}
	c.Skip(1)
	*d = SecurityDescriptor{Control: Control(c.Uint16())}
	if d.Control&SelfRelative == 0 {
		c.Fail(wire.ErrValue)
	}
	owner, group, sacl, dacl := c.Uint32(), c.Uint32(), c.Uint32(), c.Uint32()
	if d.Control&SACLPresent == 0 {
		sacl = 0
	}
	if d.Control&DACLPresent == 0 {
		dacl = 0
	}
	part := func(offset uint32, parse func([]byte) error) {
		if offset == 0 || c.Err() != nil {
			return
		}
		if offset < sdHeader || uint64(offset) >= uint64(len(b)) {
			c.Fail(wire.ErrShort)
			return
		}
		if err := parse(b[offset:]); err != nil {
			c.Fail(err)
		}
	}
	part(owner, func(b []byte) error { d.Owner = new(SID); return d.Owner.Parse(b) })
	part(group, func(b []byte) error { d.Group = new(SID); return d.Group.Parse(b) })
	part(sacl, func(b []byte) error { d.SACL = new(ACL); return d.SACL.Parse(b) })
	part(dacl, func(b []byte) error { d.DACL = new(ACL); return d.DACL.Parse(b) })
	return c.End()
}

// Append appends the descriptor: its parts in the order of the header's offsets.
func (d *SecurityDescriptor) Append(b []byte) []byte {
	start := len(b)
	control := d.Control | SelfRelative
	if d.DACL != nil {
		control |= DACLPresent
	}
	if d.SACL != nil {
		control |= SACLPresent
	}
	b = append(b, sdRevision, 0)
	b = wire.Append16(b, uint16(control))
	b = wire.AppendZero(b, 16)
	at := func(field int) { wire.Put32(b[start+field:], uint32(len(b)-start)) }
	if d.Owner != nil {
		at(4)
		b = d.Owner.Append(b)
	}
	if d.Group != nil {
		at(8)
		b = d.Group.Append(b)
	}
	if d.SACL != nil {
		at(12)
		b = d.SACL.Append(b)
	}
	if d.DACL != nil {
		at(16)
		b = d.DACL.Append(b)
	}
	return b
}
