package dtyp

import (
	"errors"
	"strconv"
	"strings"

	"dittofs/smbd/wire"
)

// SID is a security identifier of revision 1, [MS-DTYP] 2.4.2. Comparable; the zero value is no SID.
type SID struct {
	Authority uint64 // 48 bits
	Count     uint8  // of Sub
	Sub       [15]uint32
}

var errSID = errors.New("dtyp: not a SID")

// Well-known SIDs, [MS-DTYP] 2.4.2.4.
var (
	Everyone           = NewSID(1, 0)
	CreatorOwner       = NewSID(3, 0)
	CreatorGroup       = NewSID(3, 1)
	OwnerRights        = NewSID(3, 4)
	Network            = NewSID(5, 2)
	Anonymous          = NewSID(5, 7)
	AuthenticatedUsers = NewSID(5, 11)
	LocalSystem        = NewSID(5, 18)
	Administrators     = NewSID(5, 32, 544)
	Users              = NewSID(5, 32, 545)
)

// unixAuthority is the identifier authority of Unix users and groups, as Samba and Microsoft's Services for NFS number them.
const unixAuthority, unixUsers, unixGroups = 22, 1, 2

// NewSID makes a SID of at most 15 subauthorities.
func NewSID(authority uint64, sub ...uint32) SID {
	s := SID{Authority: authority & (1<<48 - 1)}
	s.Count = uint8(copy(s.Sub[:], sub))
	return s
}

// UnixUser is S-1-22-1-uid.
func UnixUser(uid uint32) SID { return NewSID(unixAuthority, unixUsers, uid) }

// UnixGroup is S-1-22-2-gid.
func UnixGroup(gid uint32) SID { return NewSID(unixAuthority, unixGroups, gid) }

// UnixUID is the number of a Unix user's SID.
func (s SID) UnixUID() (uid uint32, ok bool) { return s.Sub[1], s == UnixUser(s.Sub[1]) }

// UnixGID is the number of a Unix group's SID.
func (s SID) UnixGID() (gid uint32, ok bool) { return s.Sub[1], s == UnixGroup(s.Sub[1]) }

// IsZero reports whether s is no SID.
func (s SID) IsZero() bool { return s == SID{} }

// String is the form S-1-5-32-544, [MS-DTYP] 2.4.2.1.
func (s SID) String() string {
	b := []byte("S-1-")
	if s.Authority < 1<<32 {
		b = strconv.AppendUint(b, s.Authority, 10)
	} else {
		b = append(b, "0x"...)
		h := strconv.FormatUint(s.Authority, 16)
		b = append(append(b, strings.Repeat("0", 12-len(h))...), h...)
	}
	for _, x := range s.Sub[:s.Count] {
		b = strconv.AppendUint(append(b, '-'), uint64(x), 10)
	}
	return string(b)
}

// ParseSID reads what String writes.
func ParseSID(text string) (SID, error) {
	f := strings.Split(text, "-")
	if len(f) < 3 || len(f) > 3+15 || (f[0] != "S" && f[0] != "s") || f[1] != "1" {
		return SID{}, errSID
	}
	digits, base := f[2], 10
	if h, ok := strings.CutPrefix(strings.ToLower(digits), "0x"); ok {
		digits, base = h, 16
	}
	var s SID
	var err error
	if s.Authority, err = strconv.ParseUint(digits, base, 48); err != nil {
		return SID{}, errSID
	}
	for _, x := range f[3:] {
		v, err := strconv.ParseUint(x, 10, 32)
		if err != nil {
			return SID{}, errSID
		}
		s.Sub[s.Count] = uint32(v)
		s.Count++
	}
	return s, nil
}

// Size is the length of s on the wire.
func (s SID) Size() int { return 8 + 4*int(s.Count) }

// Append appends s.
func (s SID) Append(b []byte) []byte {
	b = append(b, 1, s.Count)
	for shift := 40; shift >= 0; shift -= 8 {
		b = append(b, byte(s.Authority>>shift))
	}
	for _, x := range s.Sub[:s.Count] {
		b = wire.Append32(b, x)
	}
	return b
}

// readSID reads a SID at the cursor.
func readSID(c *wire.Cursor) (s SID) {
	revision, count := c.Uint8(), c.Uint8()
	if revision != 1 || count > 15 {
		c.Fail(wire.ErrValue)
		return SID{}
	}
	for _, x := range c.Bytes(6) {
		s.Authority = s.Authority<<8 | uint64(x)
	}
	for s.Count = 0; s.Count < count; s.Count++ {
		s.Sub[s.Count] = c.Uint32()
	}
	if c.Err() != nil {
		return SID{}
	}
	return s
}

// Parse reads a SID; bytes may follow it.
func (s *SID) Parse(b []byte) error {
	c := wire.Reader(b)
	*s = readSID(&c)
	return c.End()
}
