// Package appledouble is the form of AppleDouble files: what a Mac's file has besides its bytes, in a file of its own beside it that is named "._" and the
// file's name. "AppleSingle/AppleDouble Formats for Foreign Files", version 2, which RFC 1740 repeats in its appendix; all numbers are big endian.
// macOS keeps extended attributes behind the Finder's information. No locks.
package appledouble

import (
	"encoding/binary"
	"errors"
)

// Prefix stands before the file's name.
const Prefix = "._"

const (
	magic   = 0x00051607
	version = 0x00020000

	resourceFork = 2 // entry ids
	finderInfo   = 9

	headerSize = 26
	entrySize  = 12
	maxEntries = 32
)

const (
	// HeadMax is as much as Parse needs of a file's beginning.
	HeadMax = headerSize + maxEntries*entrySize
	// FinderSize is how long the Finder's information is without attributes.
	FinderSize = 32
	// NoteMax is as far as the Finder's information with its attributes may reach into the file. Implementation specific.
	NoteMax = 128 << 10
	// forkOffset is where a new file's resource fork begins: behind two entries and the Finder's information.
	forkOffset = headerSize + 2*entrySize + FinderSize
)

// taken fills the header of a file whose Finder information has been moved elsewhere; Netatalk and Samba write and read it so.
const taken = "Netatalk        "

// ErrFormat is a file that is no AppleDouble file, or a damaged one.
var ErrFormat = errors.New("appledouble: not an AppleDouble file")

// Entry is where a part lies in the file; all zero: it is not there.
type Entry struct{ Offset, Length uint32 }

// End is where the part ends.
func (e Entry) End() uint64 { return uint64(e.Offset) + uint64(e.Length) }

// File is the head of an AppleDouble file.
type File struct {
	Finder Entry // the Finder's information, and attributes behind it
	Fork   Entry // the resource fork
	Taken  bool  // the Finder's information does not count any more
}

// New is the head of a file with an empty resource fork.
func New() *File { return &File{Fork: Entry{Offset: forkOffset}, Taken: true} }

// Parse reads the head of a file of size bytes that begins with b. A resource fork that the file is too short for ends with the file.
func Parse(b []byte, size uint64) (*File, error) {
	if len(b) < headerSize || be32(b, 0) != magic || be32(b, 4) != version {
		return nil, ErrFormat
	}
	f := &File{Taken: string(b[8:24]) == taken}
	n := int(binary.BigEndian.Uint16(b[24:]))
	table := headerSize + n*entrySize
	if n > maxEntries || len(b) < table {
		return nil, ErrFormat
	}
	for at := headerSize; at < table; at += entrySize {
		e := Entry{be32(b, at+4), be32(b, at+8)}
		switch be32(b, at) {
		case resourceFork:
			if e.Offset < uint32(table) || uint64(e.Offset) > size {
				return nil, ErrFormat
			}
			e.Length = uint32(min(uint64(e.Length), size-uint64(e.Offset)))
			f.Fork = e
		case finderInfo:
			if e.Offset < uint32(table) || e.Length < FinderSize || e.End() > min(size, NoteMax) {
				return nil, ErrFormat
			}
			f.Finder = e
		}
	}
	return f, nil
}

// Bare reports whether there is nothing in the file but the fork.
func (f *File) Bare() bool { return f.Taken && f.Finder.Length <= FinderSize && f.Fork.Offset != 0 }

// Strip leaves nothing but the fork, where it lies; the file is to end with it.
func (f *File) Strip() {
	if f.Taken, f.Finder = true, (Entry{}); f.Fork.Offset == 0 {
		f.Fork = New().Fork
	}
}

// Append writes the head of a file that has nothing but the fork. Samba wants an entry for the Finder's information even so; where the fork
// begins too early for one, there is none.
func (f *File) Append(b []byte) []byte {
	finder := f.Fork.Offset >= forkOffset
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, taken...)
	if !finder {
		b = binary.BigEndian.AppendUint16(b, 1)
		return appendEntry(b, resourceFork, f.Fork)
	}
	b = binary.BigEndian.AppendUint16(b, 2)
	b = appendEntry(b, finderInfo, Entry{forkOffset - FinderSize, FinderSize})
	b = appendEntry(b, resourceFork, f.Fork)
	return append(b, make([]byte, FinderSize)...)
}

func appendEntry(b []byte, id uint32, e Entry) []byte {
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, e.Offset)
	return binary.BigEndian.AppendUint32(b, e.Length)
}

func be32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
