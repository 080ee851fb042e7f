package smb2

// Access masks, [MS-SMB2] 2.2.13.1, and file attributes, [MS-FSCC] 2.6.

// AccessMask is SMB2 Access Mask Encoding.
type AccessMask uint32

// Access rights of files and pipes (first name) and of directories (second name).
const (
	FileReadData        AccessMask = 0x00000001
	FileListDirectory   AccessMask = 0x00000001
	FileWriteData       AccessMask = 0x00000002
	FileAddFile         AccessMask = 0x00000002
	FileAppendData      AccessMask = 0x00000004
	FileAddSubdirectory AccessMask = 0x00000004
	FileReadEA          AccessMask = 0x00000008
	FileWriteEA         AccessMask = 0x00000010
	FileExecute         AccessMask = 0x00000020
	FileTraverse        AccessMask = 0x00000020
	FileDeleteChild     AccessMask = 0x00000040
	FileReadAttributes  AccessMask = 0x00000080
	FileWriteAttributes AccessMask = 0x00000100

	Delete               AccessMask = 0x00010000
	ReadControl          AccessMask = 0x00020000
	WriteDAC             AccessMask = 0x00040000
	WriteOwner           AccessMask = 0x00080000
	Synchronize          AccessMask = 0x00100000
	AccessSystemSecurity AccessMask = 0x01000000
	MaximumAllowed       AccessMask = 0x02000000

	GenericAll     AccessMask = 0x10000000
	GenericExecute AccessMask = 0x20000000
	GenericWrite   AccessMask = 0x40000000
	GenericRead    AccessMask = 0x80000000

	// What the generic rights mean for a file.
	FileGenericRead    AccessMask = 0x00120089
	FileGenericWrite   AccessMask = 0x00120116
	FileGenericExecute AccessMask = 0x001200A0
	FileAllAccess      AccessMask = 0x001F01FF
)

// Mapped replaces generic rights by what they mean for a file.
func (m AccessMask) Mapped() AccessMask {
	for _, g := range [...][2]AccessMask{
		{GenericRead, FileGenericRead}, {GenericWrite, FileGenericWrite}, {GenericExecute, FileGenericExecute}, {GenericAll, FileAllAccess},
	} {
		if m&g[0] != 0 {
			m = m&^g[0] | g[1]
		}
	}
	return m
}

// ShareAccess says what an open lets others do.
type ShareAccess uint32

// Share access.
const (
	FileShareRead   ShareAccess = 1
	FileShareWrite  ShareAccess = 2
	FileShareDelete ShareAccess = 4
)

// FileAttributes are a file's attributes, [MS-FSCC] 2.6.
type FileAttributes uint32

// File attributes.
const (
	FileAttributeReadonly          FileAttributes = 0x00000001
	FileAttributeHidden            FileAttributes = 0x00000002
	FileAttributeSystem            FileAttributes = 0x00000004
	FileAttributeDirectory         FileAttributes = 0x00000010
	FileAttributeArchive           FileAttributes = 0x00000020
	FileAttributeNormal            FileAttributes = 0x00000080
	FileAttributeTemporary         FileAttributes = 0x00000100
	FileAttributeSparseFile        FileAttributes = 0x00000200
	FileAttributeReparsePoint      FileAttributes = 0x00000400
	FileAttributeCompressed        FileAttributes = 0x00000800
	FileAttributeOffline           FileAttributes = 0x00001000
	FileAttributeNotContentIndexed FileAttributes = 0x00002000
	FileAttributeEncrypted         FileAttributes = 0x00004000
	FileAttributeIntegrityStream   FileAttributes = 0x00008000
	FileAttributeNoScrubData       FileAttributes = 0x00020000
	FileAttributeRecallOnOpen      FileAttributes = 0x00040000
	FileAttributePinned            FileAttributes = 0x00080000
	FileAttributeUnpinned          FileAttributes = 0x00100000
	FileAttributeRecallOnData      FileAttributes = 0x00400000

	// FileAttributesValid are those that the standard defines.
	FileAttributesValid FileAttributes = 0x005EFFB7
)
