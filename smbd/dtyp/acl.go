package dtyp

import "dittofs/smbd/wire"

// ACEType is the kind of an ACE, [MS-DTYP] 2.4.4.1.
type ACEType uint8

// Kinds of ACE whose body is a mask and a SID.
const (
	AccessAllowed  ACEType = 0x00
	AccessDenied   ACEType = 0x01
	SystemAudit    ACEType = 0x02
	SystemAlarm    ACEType = 0x03
	MandatoryLabel ACEType = 0x11
	ScopedPolicyID ACEType = 0x13
)

// simple reports whether the body is a mask and a SID, and nothing that this package cannot name.
func (t ACEType) simple() bool {
	switch t {
	case AccessAllowed, AccessDenied, SystemAudit, SystemAlarm, MandatoryLabel, ScopedPolicyID:
		return true
	}
	return false
}

// ACEFlags say what inherits an ACE, [MS-DTYP] 2.4.4.1.
type ACEFlags uint8

// ACE flags.
const (
	ObjectInherit      ACEFlags = 0x01
	ContainerInherit   ACEFlags = 0x02
	NoPropagateInherit ACEFlags = 0x04
	InheritOnly        ACEFlags = 0x08
	Inherited          ACEFlags = 0x10
	SuccessfulAccess   ACEFlags = 0x40
	FailedAccess       ACEFlags = 0x80
)

// ACE is an access control entry. For kinds that are no mask and SID, Raw is all behind the header, and stays as it is.
type ACE struct {
	Type  ACEType
	Flags ACEFlags
	Mask  uint32
	SID   SID
	Raw   []byte
}

func (a *ACE) parse(c *wire.Cursor) {
	a.Type = ACEType(c.Uint8())
	a.Flags = ACEFlags(c.Uint8())
	size := int(c.Uint16())
	if size < 4 || size%4 != 0 {
		c.Fail(wire.ErrValue)
		return
	}
	body := c.Bytes(size - 4)
	if c.Err() != nil {
		return
	}
	if !a.Type.simple() {
		a.Raw = body
		return
	}
	e := wire.Reader(body)
	a.Mask = e.Uint32()
	a.SID = readSID(&e)
	if e.Err() != nil {
		c.Fail(e.Err())
	}
}

func (a *ACE) append(b []byte) []byte {
	start := len(b)
	b = append(b, uint8(a.Type), uint8(a.Flags), 0, 0)
	if a.Type.simple() {
		b = a.SID.Append(wire.Append32(b, a.Mask))
	} else {
		b = wire.Pad(append(b, a.Raw...), start, 4)
	}
	wire.Put16(b[start+2:], uint16(len(b)-start))
	return b
}

// ACL revisions, [MS-DTYP] 2.4.5. The second allows kinds of ACE that carry object types.
const (
	ACLRevision   = 2
	ACLRevisionDS = 4
)

// ACL is an access control list.
type ACL struct {
	Revision uint8
	ACEs     []ACE
}

// Parse reads an ACL; bytes may follow it. Each ACE costs bytes of the list before it costs memory.
func (l *ACL) Parse(b []byte) error {
	c := wire.Reader(b)
	l.Revision = c.Uint8()
	c.Skip(1)
	size, count := int(c.Uint16()), c.Uint16()
	c.Skip(2)
	if l.Revision != ACLRevision && l.Revision != ACLRevisionDS || size < 8 {
		c.Fail(wire.ErrValue)
	}
	e := wire.Reader(c.Bytes(size - 8))
	l.ACEs = nil
	for ; count > 0 && c.Err() == nil; count-- {
		var a ACE
		a.parse(&e)
		if e.Err() != nil {
			c.Fail(e.Err())
			break
		}
		l.ACEs = append(l.ACEs, a)
	}
	return c.End()
}

// Append appends an ACL. It must stay within 65,535 bytes.
func (l *ACL) Append(b []byte) []byte {
	start := len(b)
	b = append(b, l.Revision, 0, 0, 0)
	b = wire.Append32(b, uint32(uint16(len(l.ACEs)))) // AceCount, Sbz2
	for i := range l.ACEs {
		b = l.ACEs[i].append(b)
	}
	wire.Put16(b[start+2:], uint16(len(b)-start))
	return b
}
