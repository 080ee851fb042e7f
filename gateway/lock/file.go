package lock

import "fmt"

// Key names a file, never a path: two names are the same file exactly when their keys are equal.
// Ino is st_ino, which is also fileid over NFS and IndexNumber over SMB.
type Key struct {
	FSID uint64 // file system, from statfs(2) f_fsid
	Ino  uint64 // st_ino
	Gen  uint32 // tells two lives of one inode number apart: CRC-32C of the kernel's file handle (name_to_handle_at(2))
}

// IsZero reports whether k names no file.
func (k Key) IsZero() bool { return k == Key{} }

// String prints k as fsid:ino:gen in hexadecimal, as the admin commands and log lines show it.
func (k Key) String() string { return fmt.Sprintf("%x:%x:%x", k.FSID, k.Ino, k.Gen) }
