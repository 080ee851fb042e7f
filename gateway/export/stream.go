package export

import (
	"hash/crc32"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// Named streams, [MS-FSCC] 2.1.5.3, as they lie on the disk and at the counter.

// A stream is an extended attribute, in the form of Samba's vfs_streams_xattr.
const (
	StreamPrefix = "user.DosStream."
	StreamType   = ":$DATA"
)

// StreamAttribute is the attribute of a stream.
func StreamAttribute(name string) string { return StreamPrefix + name + StreamType }

// StreamKey is the key of a stream: its file's with another Gen. Where two streams of a file meet in one, the later takes the key after it,
// StreamKey of that key.
func StreamKey(k lock.Key, name string) lock.Key {
	k.Gen = crc32.Update(k.Gen, crc32.IEEETable, []byte(strings.ToUpper(name)))
	return k
}

// meetings is how many keys after the first a stream is looked for under.
const meetings = 4

// UnlinkStream removes the stream k, which lies at rel, FILE:STREAM, beneath one of the exports; ENOENT where that is not k. It serves who
// is no user, as UnlinkKey does.
func (s *Set) UnlinkStream(k lock.Key, rel string) (file, dir lock.Key, err error) {
	err = unix.ENOENT
	for _, e := range s.Exports() {
		root, rerr := e.Root()
		if rerr != nil {
			continue
		}
		if root.Key.FSID == k.FSID {
			file, dir, err = unlinkStream(root.fd, k, rel)
		}
		root.Release()
		if err == nil {
			break
		}
	}
	return file, dir, err
}

func unlinkStream(root int, k lock.Key, rel string) (file, dir lock.Key, err error) {
	at := strings.LastIndexByte(rel, ':')
	if at < 0 {
		return file, dir, unix.ENOENT
	}
	in, name := path.Split(rel[:at])
	parent, err := OpenBeneath(root, path.Clean(in), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return file, dir, err
	}
	defer unix.Close(parent)
	if dir, err = KeyOf(parent); err != nil {
		return file, dir, err
	}
	fd := parent
	if name != "" { // else the directory of the export itself
		if fd, err = OpenAt(parent, name, unix.O_PATH, 0); err != nil {
			return file, dir, err
		}
		defer unix.Close(fd)
	}
	if file, err = KeyOf(fd); err != nil {
		return file, dir, err
	}
	is := file
	for range meetings {
		if is = StreamKey(is, rel[at+1:]); is == k {
			return file, dir, RemoveXattr(fd, StreamAttribute(rel[at+1:]))
		}
	}
	return file, dir, unix.ENOENT
}
