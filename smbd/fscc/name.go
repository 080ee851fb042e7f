package fscc

import "dittofs/smbd/wire"

// FileNameInformation is that of FileName, FileAlternateName and FileNormalizedName, [MS-FSCC] 2.1.7.
type FileNameInformation struct{ FileName string }

// Parse reads the structure.
func (i *FileNameInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	n := c.Uint32()
	i.FileName = c.StringAt(uint64(c.Pos()), uint64(n))
	return c.End()
}

// Append appends the structure.
func (i *FileNameInformation) Append(b []byte) []byte {
	b = wire.Append32(b, uint32(wire.UTF16Len(i.FileName)))
	return wire.AppendUTF16(b, i.FileName)
}

// FileAllInformation is eight structures and a name, [MS-FSCC] 2.4.2.
type FileAllInformation struct {
	Basic     FileBasicInformation
	Standard  FileStandardInformation
	Internal  FileInternalInformation
	Ea        FileEaInformation
	Access    FileAccessInformation
	Position  FilePositionInformation
	Mode      FileModeInformation
	Alignment FileAlignmentInformation
	Name      FileNameInformation
}

// Parse reads the structure.
func (i *FileAllInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	for _, part := range []struct {
		size int
		into interface{ Parse([]byte) error }
	}{
		{40, &i.Basic}, {24, &i.Standard}, {8, &i.Internal}, {4, &i.Ea}, {4, &i.Access}, {8, &i.Position}, {4, &i.Mode},
		{4, &i.Alignment}, {c.Len() - 96, &i.Name},
	} {
		if p := c.Bytes(part.size); c.Err() == nil {
			if err := part.into.Parse(p); err != nil {
				return err
			}
		}
	}
	return c.End()
}

// Append appends the structure.
func (i *FileAllInformation) Append(b []byte) []byte {
	b = i.Basic.Append(b)
	b = i.Standard.Append(b)
	b = i.Internal.Append(b)
	b = i.Ea.Append(b)
	b = i.Access.Append(b)
	b = i.Position.Append(b)
	b = i.Mode.Append(b)
	b = i.Alignment.Append(b)
	return i.Name.Append(b)
}

// Flags of FileRenameInformationEx, [MS-FSCC] 2.4.43. FileLink's and FileRename's one flag is FileRenameReplaceIfExists.
const (
	FileRenameReplaceIfExists uint32 = 0x01
	FileRenamePosixSemantics  uint32 = 0x02
	FileRenameIgnoreReadonly  uint32 = 0x40
)

// FileRenameInformation is that of FileRename and FileRenameEx in the form for SMB2, [MS-FSCC] 2.4.42.2 and 2.4.43.
type FileRenameInformation struct {
	Flags         uint32 // FileRename: 0 or FileRenameReplaceIfExists
	RootDirectory uint64 // must be 0
	FileName      string // from the share's root
}

// Parse reads the form with a flag of one byte.
func (i *FileRenameInformation) Parse(b []byte) error {
	return parseRename(b, 1, &i.Flags, &i.RootDirectory, &i.FileName)
}

// ParseEx reads the form with four bytes of flags.
func (i *FileRenameInformation) ParseEx(b []byte) error {
	return parseRename(b, 4, &i.Flags, &i.RootDirectory, &i.FileName)
}

// Append appends either form.
func (i *FileRenameInformation) Append(b []byte) []byte {
	return appendRename(b, i.Flags, i.RootDirectory, i.FileName)
}

// FileLinkInformation is that of FileLink in the form for SMB2, [MS-FSCC] 2.4.27.2.
type FileLinkInformation struct {
	ReplaceIfExists bool
	RootDirectory   uint64 // must be 0
	FileName        string // from the share's root
}

// Parse reads the structure.
func (i *FileLinkInformation) Parse(b []byte) error {
	var flags uint32
	err := parseRename(b, 1, &flags, &i.RootDirectory, &i.FileName)
	i.ReplaceIfExists = flags != 0
	return err
}

// Append appends the structure.
func (i *FileLinkInformation) Append(b []byte) []byte {
	var flags uint32
	if i.ReplaceIfExists {
		flags = FileRenameReplaceIfExists
	}
	return appendRename(b, flags, i.RootDirectory, i.FileName)
}

func parseRename(b []byte, width int, flags *uint32, root *uint64, name *string) error {
	c := wire.Reader(b)
	if width == 1 {
		*flags = 0
		if c.Bool() {
			*flags = FileRenameReplaceIfExists
		}
		c.Skip(7)
	} else {
		*flags = c.Uint32()
		c.Skip(4)
	}
	*root = c.Uint64()
	n := c.Uint32()
	*name = c.StringAt(uint64(c.Pos()), uint64(n))
	return c.End()
}

func appendRename(b []byte, flags uint32, root uint64, name string) []byte {
	start := len(b)
	b = wire.Append32(b, flags)
	b = wire.AppendZero(b, 4)
	b = wire.Append64(b, root)
	b = wire.Append32(b, uint32(wire.UTF16Len(name)))
	b = wire.AppendUTF16(b, name)
	if n := len(b) - start; n < 24 { // servers ask for sizeof(FILE_RENAME_INFORMATION)
		b = wire.AppendZero(b, 24-n)
	}
	return b
}

// Flags of FileDispositionInformationEx, [MS-FSCC] 2.4.12.
const (
	FileDispositionDelete                  uint32 = 0x01
	FileDispositionPosixSemantics          uint32 = 0x02
	FileDispositionForceImageSectionCheck  uint32 = 0x04
	FileDispositionOnClose                 uint32 = 0x08
	FileDispositionIgnoreReadonlyAttribute uint32 = 0x10
)
