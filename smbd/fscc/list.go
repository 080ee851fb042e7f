package fscc

import (
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// Lists whose entries begin with NextEntryOffset.

// list builds such a list within limit bytes.
type list struct {
	b     []byte
	limit int
	align int
	last  int // where the last entry begins
	count int
}

// add appends one entry, whose first 4 bytes fill leaves zero, unless it would not fit.
func (l *list) add(size int, fill func(b []byte) []byte) bool {
	at := (len(l.b) + l.align - 1) / l.align * l.align
	if at+size > l.limit {
		return false
	}
	l.b = wire.AppendZero(l.b, at-len(l.b))
	l.b = fill(l.b)
	if l.count > 0 {
		wire.Put32(l.b[l.last:], uint32(at-l.last))
	}
	l.last = at
	l.count++
	return true
}

// each walks a list. Every step goes forward by at least 4 bytes, so the list's own length bounds the walk.
func each(b []byte, f func(c *wire.Cursor)) error {
	for len(b) > 0 {
		c := wire.Reader(b)
		next := uint64(c.Uint32())
		if next != 0 && (next < 4 || next > uint64(len(b))) {
			return wire.ErrValue
		}
		f(&c)
		if err := c.End(); err != nil || next == 0 {
			return err
		}
		b = b[next:]
	}
	return nil
}

// DirectoryEntry has what any directory class tells.
type DirectoryEntry struct {
	FileIndex       uint32
	CreationTime    wire.Filetime
	LastAccessTime  wire.Filetime
	LastWriteTime   wire.Filetime
	ChangeTime      wire.Filetime
	EndOfFile       uint64
	AllocationSize  uint64
	FileAttributes  smb2.FileAttributes
	EaSize          uint32
	ReparsePointTag uint32
	ShortName       string // at most 12 characters
	FileID          uint64
	FileName        string
	Finder          *FinderEntry // FileIDBothDirectory: instead of the short name
}

// FinderEntry is what a Mac that speaks Apple's extensions finds at the place of the short name.
type FinderEntry struct {
	ResourceFork uint64   // its length
	Info         [16]byte // type, creator, flags, extended flags, time of adding
	Mode         uint16
}

func (e *FinderEntry) append(b []byte) []byte {
	b = append(b, 24, 0)
	b = wire.Append64(b, e.ResourceFork)
	b = append(b, e.Info[:]...)
	return wire.Append16(b, e.Mode)
}

// Directory builds the answer to QUERY_DIRECTORY, [MS-FSCC] 2.4: entries of one class, each on 8 bytes.
type Directory struct {
	class FileClass
	list  list
}

// NewDirectory returns a builder for at most limit bytes, which it appends to buf; ok is false where class is not a directory's:
// STATUS_INVALID_INFO_CLASS.
func NewDirectory(class FileClass, limit uint32, buf []byte) (d *Directory, ok bool) {
	if !class.directory() {
		return nil, false
	}
	return &Directory{class: class, list: list{b: buf[:0], limit: int(limit), align: 8}}, true
}

func (c FileClass) directory() bool {
	switch c {
	case FileDirectory, FileFullDirectory, FileBothDirectory, FileNames, FileIDBothDirectory, FileIDFullDirectory, FileIDExtdDirectory,
		FileIDExtdBothDirectory:
		return true
	}
	return false
}

// Bytes is the answer.
func (d *Directory) Bytes() []byte { return d.list.b }

// Count is the number of entries.
func (d *Directory) Count() int { return d.list.count }

// Add appends an entry, or reports false where it does not fit.
func (d *Directory) Add(e *DirectoryEntry) bool {
	n := wire.UTF16Len(e.FileName)
	return d.list.add(d.class.FixedSize()+n, func(b []byte) []byte {
		b = wire.AppendZero(b, 4)
		b = wire.Append32(b, e.FileIndex)
		if d.class == FileNames {
			return wire.AppendUTF16(wire.Append32(b, uint32(n)), e.FileName)
		}
		b = wire.AppendFiletime(b, e.CreationTime)
		b = wire.AppendFiletime(b, e.LastAccessTime)
		b = wire.AppendFiletime(b, e.LastWriteTime)
		b = wire.AppendFiletime(b, e.ChangeTime)
		b = wire.Append64(b, e.EndOfFile)
		b = wire.Append64(b, e.AllocationSize)
		b = wire.Append32(b, uint32(e.FileAttributes))
		b = wire.Append32(b, uint32(n))
		if d.class != FileDirectory {
			b = wire.Append32(b, e.EaSize)
		}
		switch d.class {
		case FileBothDirectory:
			b = appendShortName(b, e.ShortName)
		case FileIDBothDirectory:
			if e.Finder != nil {
				b = e.Finder.append(b)
			} else {
				b = wire.AppendZero(appendShortName(b, e.ShortName), 2)
			}
			b = wire.Append64(b, e.FileID)
		case FileIDFullDirectory:
			b = wire.Append64(wire.AppendZero(b, 4), e.FileID)
		case FileIDExtdDirectory, FileIDExtdBothDirectory:
			b = wire.Append32(b, e.ReparsePointTag)
			b = wire.AppendZero(wire.Append64(b, e.FileID), 8)
			if d.class == FileIDExtdBothDirectory {
				b = appendShortName(b, e.ShortName)
			}
		}
		return wire.AppendUTF16(b, e.FileName)
	})
}

// appendShortName appends ShortNameLength, Reserved and 24 bytes of ShortName. A name that is too long is no short name.
func appendShortName(b []byte, s string) []byte {
	n := wire.UTF16Len(s)
	if n > 24 {
		n, s = 0, ""
	}
	b = append(b, uint8(n), 0)
	return wire.AppendZero(wire.AppendUTF16(b, s), 24-n)
}

func shortName(c *wire.Cursor) string {
	n := c.Uint8()
	c.Skip(1)
	b := c.Bytes(24)
	if n > 24 || c.Err() != nil {
		c.Fail(wire.ErrValue)
		return ""
	}
	s, err := wire.String(b[:n])
	if err != nil {
		c.Fail(err)
	}
	return s
}

// ParseDirectory reads the entries of a directory class.
func ParseDirectory(class FileClass, b []byte) ([]DirectoryEntry, error) {
	if !class.directory() {
		return nil, wire.ErrValue
	}
	var entries []DirectoryEntry
	err := each(b, func(c *wire.Cursor) {
		e := DirectoryEntry{FileIndex: c.Uint32()}
		if class == FileNames {
			e.FileName = c.String(int(c.Uint32()))
			entries = append(entries, e)
			return
		}
		e.CreationTime = c.Filetime()
		e.LastAccessTime = c.Filetime()
		e.LastWriteTime = c.Filetime()
		e.ChangeTime = c.Filetime()
		e.EndOfFile = c.Uint64()
		e.AllocationSize = c.Uint64()
		e.FileAttributes = smb2.FileAttributes(c.Uint32())
		n := c.Uint32()
		if class != FileDirectory {
			e.EaSize = c.Uint32()
		}
		switch class {
		case FileBothDirectory:
			e.ShortName = shortName(c)
		case FileIDBothDirectory:
			e.ShortName = shortName(c)
			c.Skip(2)
			e.FileID = c.Uint64()
		case FileIDFullDirectory:
			c.Skip(4)
			e.FileID = c.Uint64()
		case FileIDExtdDirectory, FileIDExtdBothDirectory:
			e.ReparsePointTag = c.Uint32()
			e.FileID = c.Uint64()
			c.Skip(8)
			if class == FileIDExtdBothDirectory {
				e.ShortName = shortName(c)
			}
		}
		e.FileName = c.String(int(n))
		entries = append(entries, e)
	})
	return entries, err
}

// Stream is an entry of FileStreamInformation, [MS-FSCC] 2.4.49: "::$DATA" is the file's contents.
type Stream struct {
	Size           uint64
	AllocationSize uint64
	Name           string
}

// AppendStreams appends FileStreamInformation.
func AppendStreams(b []byte, streams []Stream) []byte {
	l := list{limit: maxList, align: 8}
	for _, s := range streams {
		n := wire.UTF16Len(s.Name)
		l.add(24+n, func(b []byte) []byte {
			b = wire.Append32(wire.AppendZero(b, 4), uint32(n))
			b = wire.Append64(wire.Append64(b, s.Size), s.AllocationSize)
			return wire.AppendUTF16(b, s.Name)
		})
	}
	return append(b, l.b...)
}

// maxList bounds lists that are cut to the client's buffer later.
const maxList = 1 << 30

// ParseStreams reads FileStreamInformation.
func ParseStreams(b []byte) ([]Stream, error) {
	var streams []Stream
	err := each(b, func(c *wire.Cursor) {
		n := c.Uint32()
		s := Stream{Size: c.Uint64(), AllocationSize: c.Uint64()}
		s.Name = c.String(int(n))
		streams = append(streams, s)
	})
	return streams, err
}

// FileNeedEA is the only flag of an extended attribute: who does not understand it must not use the file.
const FileNeedEA uint8 = 0x80

// EA is an entry of FileFullEaInformation, [MS-FSCC] 2.4.16. Names are 8-bit and fold case.
type EA struct {
	Flags uint8
	Name  string
	Value []byte
}

// AppendEAs appends FileFullEaInformation. Entries with a name over 255 bytes or a value over 65,535 are left out.
func AppendEAs(b []byte, eas []EA) []byte {
	l := list{limit: maxList, align: 4}
	for _, e := range eas {
		if len(e.Name) > 0xFF || len(e.Value) > 0xFFFF {
			continue
		}
		l.add(int(EASize(&e)), func(b []byte) []byte {
			b = append(wire.AppendZero(b, 4), e.Flags, uint8(len(e.Name)))
			b = wire.Append16(b, uint16(len(e.Value)))
			b = append(append(b, e.Name...), 0)
			return append(b, e.Value...)
		})
	}
	return append(b, l.b...)
}

// EASize is how many bytes an entry has, without those before it that put it on 4 bytes.
func EASize(e *EA) uint64 { return uint64(9 + len(e.Name) + len(e.Value)) }

// ParseEAs reads FileFullEaInformation.
func ParseEAs(b []byte) ([]EA, error) {
	var eas []EA
	err := each(b, func(c *wire.Cursor) {
		e := EA{Flags: c.Uint8()}
		n, v := c.Uint8(), c.Uint16()
		e.Name = string(c.Bytes(int(n)))
		if c.Uint8() != 0 {
			c.Fail(wire.ErrValue)
		}
		e.Value = c.Bytes(int(v))
		eas = append(eas, e)
	})
	return eas, err
}

// ParseEANames reads FileGetEaInformation, [MS-FSCC] 2.4.16.1: the names that a query asks for.
func ParseEANames(b []byte) ([]string, error) {
	var names []string
	err := each(b, func(c *wire.Cursor) {
		n := c.Uint8()
		names = append(names, string(c.Bytes(int(n))))
		if c.Uint8() != 0 {
			c.Fail(wire.ErrValue)
		}
	})
	return names, err
}

// NotifyAction is what happened to a name, [MS-FSCC] 2.7.1.
type NotifyAction uint32

// Notify actions.
const (
	FileActionAdded NotifyAction = iota + 1
	FileActionRemoved
	FileActionModified
	FileActionRenamedOldName
	FileActionRenamedNewName
	FileActionAddedStream
	FileActionRemovedStream
	FileActionModifiedStream
)

// Notify builds the answer to CHANGE_NOTIFY, a list of FILE_NOTIFY_INFORMATION, [MS-FSCC] 2.7.1, each on 4 bytes.
type Notify struct{ list list }

// NewNotify returns a builder for at most limit bytes.
func NewNotify(limit uint32) *Notify { return &Notify{list{limit: int(limit), align: 4}} }

// Add appends a change, or reports false where it does not fit: STATUS_NOTIFY_ENUM_DIR. The name is relative to the watched directory.
func (n *Notify) Add(action NotifyAction, name string) bool {
	size := wire.UTF16Len(name)
	return n.list.add(12+size, func(b []byte) []byte {
		b = wire.Append32(wire.AppendZero(b, 4), uint32(action))
		return wire.AppendUTF16(wire.Append32(b, uint32(size)), name)
	})
}

// Bytes is the answer.
func (n *Notify) Bytes() []byte { return n.list.b }

// Change is an entry of FILE_NOTIFY_INFORMATION.
type Change struct {
	Action   NotifyAction
	FileName string
}

// ParseNotify reads a list of FILE_NOTIFY_INFORMATION.
func ParseNotify(b []byte) ([]Change, error) {
	var changes []Change
	err := each(b, func(c *wire.Cursor) {
		a := NotifyAction(c.Uint32())
		changes = append(changes, Change{Action: a, FileName: c.String(int(c.Uint32()))})
	})
	return changes, err
}
