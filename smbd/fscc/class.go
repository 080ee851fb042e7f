package fscc

import "dittofs/smbd/ntstatus"

// FileClass is a file information class, [MS-FSCC] 2.4.
type FileClass uint8

// File information classes.
const (
	FileDirectory           FileClass = 1
	FileFullDirectory       FileClass = 2
	FileBothDirectory       FileClass = 3
	FileBasic               FileClass = 4
	FileStandard            FileClass = 5
	FileInternal            FileClass = 6
	FileEa                  FileClass = 7
	FileAccess              FileClass = 8
	FileName                FileClass = 9
	FileRename              FileClass = 10
	FileLink                FileClass = 11
	FileNames               FileClass = 12
	FileDisposition         FileClass = 13
	FilePosition            FileClass = 14
	FileFullEa              FileClass = 15
	FileMode                FileClass = 16
	FileAlignment           FileClass = 17
	FileAll                 FileClass = 18
	FileAllocation          FileClass = 19
	FileEndOfFile           FileClass = 20
	FileAlternateName       FileClass = 21
	FileStream              FileClass = 22
	FilePipe                FileClass = 23
	FilePipeLocal           FileClass = 24
	FileCompression         FileClass = 28
	FileNetworkOpen         FileClass = 34
	FileAttributeTag        FileClass = 35
	FileIDBothDirectory     FileClass = 37
	FileIDFullDirectory     FileClass = 38
	FileValidDataLength     FileClass = 39
	FileShortName           FileClass = 40
	FileNormalizedName      FileClass = 48
	FileID                  FileClass = 59
	FileIDExtdDirectory     FileClass = 60
	FileIDExtdBothDirectory FileClass = 63
	FileDispositionEx       FileClass = 64
	FileRenameEx            FileClass = 65
)

// FSClass is a file system information class, [MS-FSCC] 2.5.
type FSClass uint8

// File system information classes.
const (
	FSVolume     FSClass = 1
	FSLabel      FSClass = 2
	FSSize       FSClass = 3
	FSDevice     FSClass = 4
	FSAttribute  FSClass = 5
	FSControl    FSClass = 6
	FSFullSize   FSClass = 7
	FSObjectID   FSClass = 8
	FSSectorSize FSClass = 11
)

// fixed says how many bytes of a class stand before its name, or all of them where it has none.
var fixed = map[FileClass]int{
	FileDirectory: 64, FileFullDirectory: 68, FileBothDirectory: 94, FileNames: 12, FileIDBothDirectory: 104, FileIDFullDirectory: 80,
	FileIDExtdDirectory: 88, FileIDExtdBothDirectory: 114,
	FileBasic: 40, FileStandard: 24, FileInternal: 8, FileEa: 4, FileAccess: 4, FileName: 4, FileRename: 20, FileRenameEx: 20,
	FileLink: 20, FileDisposition: 1, FileDispositionEx: 4, FilePosition: 8, FileFullEa: 8, FileMode: 4, FileAlignment: 4, FileAll: 100,
	FileAllocation: 8, FileEndOfFile: 8, FileAlternateName: 4, FileStream: 24, FilePipe: 8, FilePipeLocal: 40, FileCompression: 16,
	FileNetworkOpen: 56, FileAttributeTag: 8, FileNormalizedName: 4, FileID: 24, FileValidDataLength: 8,
}

// least is what an answer with a name needs at least: its structure as it is in memory, rounded up ([MS-FSA] 2.1.5.12, BlockAlign).
var least = map[FileClass]int{FileAll: 104, FileName: 8, FileNormalizedName: 8, FileAlternateName: 8, FileStream: 32}

var fsLeast = map[FSClass]int{FSVolume: 24, FSAttribute: 16}

// Least is how many bytes an answer to c needs at least, before it can be cut.
func (c FileClass) Least() int { return max(least[c], fixed[c]) }

// Least is FileClass.Least.
func (c FSClass) Least() int { return max(fsLeast[c], fsFixed[c]) }

var fsFixed = map[FSClass]int{FSVolume: 18, FSSize: 24, FSDevice: 8, FSAttribute: 12, FSControl: 48, FSFullSize: 32, FSObjectID: 64, FSSectorSize: 28}

// FixedSize is how many bytes of c stand before its name, or all of them where it has none; 0 for a class that this package lacks.
func (c FileClass) FixedSize() int { return fixed[c] }

// FixedSize is FileClass.FixedSize.
func (c FSClass) FixedSize() int { return fsFixed[c] }

// Fit cuts an answer to what the client has room for, [MS-FSA] 2.1.5.12: nothing where not even the fixed part fits, and
// STATUS_BUFFER_OVERFLOW where only some of the name does.
func Fit(answer []byte, least int, limit uint32) ([]byte, ntstatus.Status) {
	switch {
	case uint64(len(answer)) <= uint64(limit):
		return answer, ntstatus.Success
	case limit < uint32(least):
		return nil, ntstatus.InfoLengthMismatch
	}
	return answer[:limit], ntstatus.BufferOverflow
}
