package dtyp

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// GUID is a GUID as it lies on the wire: three little-endian numbers, then 8 bytes. [MS-DTYP] 2.3.4.2.
type GUID [16]byte

var errGUID = errors.New("dtyp: not a GUID")

// String is the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, [MS-DTYP] 2.3.4.3 without braces.
func (g GUID) String() string {
	var t [16]byte
	binary.BigEndian.PutUint32(t[0:], binary.LittleEndian.Uint32(g[0:]))
	binary.BigEndian.PutUint16(t[4:], binary.LittleEndian.Uint16(g[4:]))
	binary.BigEndian.PutUint16(t[6:], binary.LittleEndian.Uint16(g[6:]))
	copy(t[8:], g[8:])
	h := hex.EncodeToString(t[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseGUID reads what String writes, in either case.
func ParseGUID(s string) (g GUID, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, errGUID
	}
	t, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return g, errGUID
	}
	binary.LittleEndian.PutUint32(g[0:], binary.BigEndian.Uint32(t[0:]))
	binary.LittleEndian.PutUint16(g[4:], binary.BigEndian.Uint16(t[4:]))
	binary.LittleEndian.PutUint16(g[6:], binary.BigEndian.Uint16(t[6:]))
	copy(g[8:], t[8:])
	return g, nil
}
