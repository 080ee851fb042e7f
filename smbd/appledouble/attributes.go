package appledouble

import (
	"bytes"
	"encoding/binary"
)

// Extended attributes, as macOS keeps them on file systems that have none: behind the 32 bytes of the Finder and two of padding stands a header of 36
// bytes, then an entry for each attribute on a multiple of 4: offset and length of the value, flags, and the name with a zero at its end. Offsets count
// from the file's beginning.
const (
	attributeMagic  = 0x41545452 // "ATTR"
	attributeHeader = 36
	attributeEntry  = 11 // without the name
)

// Attribute is an extended attribute; its value aliases what it was read from.
type Attribute struct {
	Name  string
	Value []byte
}

// Attributes reads the attributes. b is the file from its beginning to the end of the Finder's information.
func (f *File) Attributes(b []byte) (list []Attribute, err error) {
	if f.Finder.Length <= FinderSize {
		return nil, nil
	}
	size := uint64(len(b))
	at := uint64(f.Finder.Offset) + FinderSize + 2
	if at+attributeHeader > size {
		return nil, nil // only padding
	}
	if be32(b, int(at)) != attributeMagic {
		return nil, nil
	}
	n := binary.BigEndian.Uint16(b[at+34:])
	at += attributeHeader
	for range n {
		at = (at + 3) &^ 3
		if at+attributeEntry > size {
			return nil, ErrFormat
		}
		from, length, named := uint64(be32(b, int(at))), uint64(be32(b, int(at)+4)), uint64(b[at+10])
		at += attributeEntry
		if named == 0 || at+named > size || from+length > size {
			return nil, ErrFormat
		}
		name, _, _ := bytes.Cut(b[at:at+named], []byte{0})
		list = append(list, Attribute{string(name), b[from : from+length : from+length]})
		at += named
	}
	return list, nil
}
