package dtyp

import "slices"

// Rights of an access mask that mean the same for every kind of object, [MS-DTYP] 2.4.3.
const (
	maskReadControl = 0x00020000
	maskWriteDAC    = 0x00040000
	maskAll         = 0x001F01FF
)

// Token is as whom access is checked, [MS-DTYP] 2.5.2: the user's SID and those that come with it.
type Token []SID

// Has reports whether the token has a SID.
func (t Token) Has(s SID) bool { return slices.Contains(t, s) }

// Granted are all the rights that d gives to a token: each right is decided by the first entry that speaks of it, [MS-DTYP] 2.5.3.2.
// The owner may always read and change the list, unless an entry for OWNER RIGHTS says what the owner may. d's masks are specific ones:
// Specific has mapped them.
func (d *SecurityDescriptor) Granted(t Token) uint32 {
	if d.DACL == nil {
		return maskAll
	}
	owner := d.Owner != nil && t.Has(*d.Owner)
	var granted, decided uint32
	implicit := owner
	for i := range d.DACL.ACEs {
		e := &d.DACL.ACEs[i]
		if e.Flags&InheritOnly != 0 || e.Type != AccessAllowed && e.Type != AccessDenied {
			continue
		}
		if e.SID == OwnerRights {
			implicit = false
		}
		if !t.Has(e.SID) && !(owner && e.SID == OwnerRights) {
			continue
		}
		if e.Type == AccessAllowed {
			granted |= e.Mask &^ decided
		}
		decided |= e.Mask
	}
	if implicit {
		granted |= maskReadControl | maskWriteDAC
	}
	return granted
}

// Specific replaces the generic rights of every entry by what mapped says they mean, [MS-DTYP] 2.4.3; entries that only children inherit
// keep theirs.
func (l *ACL) Specific(mapped func(uint32) uint32) {
	if l == nil {
		return
	}
	for i := range l.ACEs {
		if e := &l.ACEs[i]; e.Type.simple() && e.Flags&InheritOnly == 0 {
			e.Mask = mapped(e.Mask)
		}
	}
}
