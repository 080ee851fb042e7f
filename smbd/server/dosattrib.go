package server

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// The attributes that Unix has no place for, and the creation time that a client set, stand in the extended attribute user.DOSATTRIB, in
// the form that Samba writes: a terminated string, then by version the attributes and the time as NDR (librpc's xattr.idl, DOSATTRIB
// versions 3 and 4). Version 4 is written.
const dosAttrib = "user.DOSATTRIB"

// Flags that say which fields are valid.
const (
	dosHasAttributes = 0x01
	dosHasCreateTime = 0x10
)

// stored are the attributes that are kept; the others follow from the mode and the kind of file.
const stored = smb2.FileAttributeHidden | smb2.FileAttributeSystem | smb2.FileAttributeArchive | smb2.FileAttributeSparseFile |
	smb2.FileAttributeTemporary | smb2.FileAttributeOffline

// dos fills in the attributes and, where one was set, the creation time, from the attribute's bytes.
func (i *info) dos(b []byte, name string) {
	bits, flags, birth := parseDOSAttrib(b)
	a := smb2.FileAttributes(bits) & stored
	if flags&dosHasAttributes == 0 {
		a = i.defaultAttributes(name)
	}
	i.given = flags&dosHasAttributes != 0
	i.marked = i.given && smb2.FileAttributes(bits)&smb2.FileAttributeReadonly != 0
	if flags&dosHasCreateTime != 0 && birth > 0 {
		i.birth = birth.Time()
	}
	if change, at := parseDOSChange(b); change > 0 && unchanged(at, i.change) {
		i.change = change.Time()
	}
	if i.isDir() { // where READONLY means nothing to the file system
		a |= smb2.FileAttributeDirectory | smb2.FileAttributes(bits)&smb2.FileAttributeReadonly
	} else if i.mode&0o222 == 0 {
		a |= smb2.FileAttributeReadonly
	}
	if a == 0 {
		a = smb2.FileAttributeNormal
	}
	i.attributes = a
}

// kept are the attributes that a client gave, not those that follow from the name.
func (i *info) kept() smb2.FileAttributes {
	if i.given {
		return i.attributes
	}
	return 0
}

// defaultAttributes: a file that was never told otherwise is to be archived, and one whose name begins with a dot is hidden.
func (i *info) defaultAttributes(name string) (a smb2.FileAttributes) {
	if !i.isDir() {
		a |= smb2.FileAttributeArchive
	}
	if len(name) > 1 && name[0] == '.' && name != ".." {
		a |= smb2.FileAttributeHidden
	}
	return a
}

func parseDOSAttrib(b []byte) (attributes, flags uint32, birth wire.Filetime) {
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return 0, 0, 0
	}
	if text, ok := strings.CutPrefix(string(b[:end]), "0x"); ok {
		if v, err := strconv.ParseUint(text, 16, 32); err == nil {
			attributes, flags = uint32(v), dosHasAttributes
		}
	}
	at := (end + 2) &^ 1 // the version is aligned to 2, what follows to 4
	if len(b) < at+4 {
		return attributes, flags, 0
	}
	version := binary.LittleEndian.Uint16(b[at:])
	b = b[min(len(b), (at+4+3)&^3):]
	u32 := func(o int) uint32 { return binary.LittleEndian.Uint32(b[o:]) }
	u64 := func(o int) uint64 { return binary.LittleEndian.Uint64(b[o:]) }
	switch {
	case version == 3 && len(b) >= 36: // flags, attributes, ea size, size, allocation, creation time, change time
		return u32(4), u32(0), wire.Filetime(u64(28))
	case version == 4 && len(b) >= 24: // flags, attributes, itime, creation time
		return u32(4), u32(0), wire.Filetime(u64(16))
	}
	return attributes, flags, 0
}

func appendDOSAttrib(b []byte, attributes uint32, birth time.Time) []byte {
	le := binary.LittleEndian
	b = append(b, 0, 0, 4, 0, 4, 0, 0, 0)
	flags, created := uint32(dosHasAttributes), wire.Filetime(0)
	if !birth.IsZero() {
		flags, created = flags|dosHasCreateTime, wire.FiletimeOf(birth)
	}
	b = le.AppendUint32(b, flags)
	b = le.AppendUint32(b, attributes)
	b = le.AppendUint64(b, 0)
	return le.AppendUint64(b, uint64(created))
}

// What stands behind version 4's fields is ours: the ChangeTime that a client set, and when it did.
const dosV4 = 8 + 24

func appendDOSChange(b []byte, change, at wire.Filetime) []byte {
	le := binary.LittleEndian
	return le.AppendUint64(le.AppendUint64(b[:dosV4:dosV4], uint64(change)), uint64(at))
}

func parseDOSChange(b []byte) (change, at wire.Filetime) {
	if len(b) < dosV4+16 || !bytes.Equal(b[:6], []byte{0, 0, 4, 0, 4, 0}) {
		return 0, 0
	}
	le := binary.LittleEndian
	return wire.Filetime(le.Uint64(b[dosV4:])), wire.Filetime(le.Uint64(b[dosV4+8:]))
}

// unchanged reports whether the file system's ctime is the one that setting the attribute at a time gave it. It is as coarse as the
// kernel's tick.
func unchanged(at wire.Filetime, ctime time.Time) bool {
	d := ctime.Sub(at.Time())
	return d > -25*time.Millisecond && d < 25*time.Millisecond
}
