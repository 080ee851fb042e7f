package export

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// What a file handle, or a way in, is refused with; besides these only errors of system calls.
var (
	ErrBadHandle = errors.New("export: not a file handle of this server") // never issued, or tampered with
	ErrStale     = errors.New("export: the file is gone")
	ErrAway      = errors.New("export: the tree is not there now")      // try again
	ErrLater     = errors.New("export: somebody has to be asked first") // only where the caller would not wait
	ErrRefused   = errors.New("export: the client may not come in")
)

// A sealed file handle:
//
//	0  version, 1
//	1  type of the kernel's handle
//	2  export, 4 bytes: the beginning of SHA-256 of its path
//	6  the kernel's handle, name_to_handle_at(2)
//	-16  the beginning of HMAC-SHA-256 of all that, under the state directory's key
//
// It says nothing about names and stays valid over renames and restarts. At most 64 bytes, RFC 1813 §2.4.
const (
	handleVersion = 1
	handleHead    = 6
	macLen        = 16

	// HandleMax is the longest sealed handle.
	HandleMax = 64
	kernelMax = HandleMax - handleHead - macLen

	maxHandleSize = 128 // MAX_HANDLE_SZ, the kernel's own limit
)

// kernelHandle is struct file_handle. Comparable.
type kernelHandle struct {
	typ uint8
	n   uint8
	b   [kernelMax]byte
}

// rawHandle is how the kernel sees it; its memory is laid out as struct file_handle.
type rawHandle struct {
	bytes uint32
	typ   int32
	b     [maxHandleSize]byte
}

var emptyPath [1]byte

func kernelHandleOf(fd int) (kernelHandle, error) {
	return nameToHandle(fd, unsafe.Pointer(&emptyPath), unix.AT_EMPTY_PATH)
}

// kernelHandleAt is an entry's, which is not followed. What is mounted on it, is not looked at.
func kernelHandleAt(dir int, name string) (kernelHandle, error) {
	var b [256]byte
	if len(name) >= len(b) {
		return kernelHandle{}, unix.ENAMETOOLONG
	}
	copy(b[:], name)
	return nameToHandle(dir, unsafe.Pointer(&b), 0)
}

// rawHandles spares clearing and moving 128 bytes for each handle.
var rawHandles = sync.Pool{New: func() any { return new(rawHandle) }}

func nameToHandle(fd int, name unsafe.Pointer, flags uintptr) (k kernelHandle, err error) {
	r := rawHandles.Get().(*rawHandle)
	defer rawHandles.Put(r)
	r.bytes = maxHandleSize
	var mount int32
	_, _, e := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(fd), uintptr(name), uintptr(unsafe.Pointer(r)), uintptr(unsafe.Pointer(&mount)), flags, 0)
	if e != 0 {
		return k, e
	}
	if r.bytes > kernelMax || r.typ < 0 || r.typ > 255 {
		return k, unix.EOVERFLOW
	}
	k.typ, k.n = uint8(r.typ), uint8(r.bytes)
	copy(k.b[:], r.b[:r.bytes])
	return k, nil
}

// open opens what k names. mount is any descriptor on the mount that is not O_PATH.
func (k *kernelHandle) open(mount, flags int) (int, error) {
	r := rawHandle{bytes: uint32(k.n), typ: int32(k.typ)}
	copy(r.b[:], k.b[:k.n])
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_LARGEFILE
	for try := time.Duration(1); ; try++ {
		fd, _, e := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(mount), uintptr(unsafe.Pointer(&r)), uintptr(flags))
		switch e {
		case 0:
			return int(fd), nil
		case unix.EINTR:
			continue
		case unix.ENOMEM:
			// Also where the inode's number is just being given to a new file, which takes microseconds (iget_locked in the kernel).
			if try <= 8 {
				time.Sleep(try * 100 * time.Microsecond)
				continue
			}
		case unix.ENOENT, unix.ESTALE:
			return -1, ErrStale
		}
		return -1, e
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (k *kernelHandle) gen() uint32 { return crc32.Checksum(k.b[:k.n], castagnoli) }

// KeyOf names the file behind fd, which may be O_PATH: f_fsid, st_ino and the CRC-32C of the kernel's handle.
func KeyOf(fd int) (lock.Key, error) {
	k, err := kernelHandleOf(fd)
	if err != nil {
		return lock.Key{}, fmt.Errorf("export: name_to_handle_at: %w", err)
	}
	a, err := Stat(fd)
	if err != nil {
		return lock.Key{}, err
	}
	key, _, err := keyOf(fd, &k, a.Ino)
	return key, err
}

func keyOf(fd int, k *kernelHandle, ino uint64) (key lock.Key, memory bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return key, false, err
	}
	return lock.Key{FSID: fsid(&fs), Ino: ino, Gen: k.gen()}, fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC, nil
}

func fsid(fs *unix.Statfs_t) uint64 {
	return uint64(uint32(fs.Fsid.Val[0])) | uint64(uint32(fs.Fsid.Val[1]))<<32
}

// exportID is the 4 bytes by which a handle names its export.
func exportID(path string) uint32 {
	h := sha256.Sum256([]byte(path))
	return binary.BigEndian.Uint32(h[:])
}

// seal appends the sealed handle of k in the export id to b.
func (s *Set) seal(b []byte, id uint32, k *kernelHandle) []byte {
	at := len(b)
	b = append(b, handleVersion, k.typ)
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, k.b[:k.n]...)
	mac := s.mac(b[at:])
	return append(b, mac[:]...)
}

// unseal takes a handle apart and checks its MAC.
func (s *Set) unseal(fh []byte) (id uint32, k kernelHandle, err error) {
	n := len(fh) - handleHead - macLen
	if n < 1 || n > kernelMax || fh[0] != handleVersion {
		return 0, k, ErrBadHandle
	}
	body := fh[:len(fh)-macLen]
	mac := s.mac(body)
	if subtle.ConstantTimeCompare(mac[:], fh[len(body):]) != 1 {
		return 0, k, ErrBadHandle
	}
	k.typ, k.n = fh[1], uint8(n)
	copy(k.b[:], body[handleHead:])
	return binary.BigEndian.Uint32(fh[2:]), k, nil
}

func (s *Set) mac(b []byte) (m [macLen]byte) {
	h := s.macs.Get().(*keyed)
	h.Reset()
	h.Write(b)
	copy(m[:], h.Sum(h.sum[:0]))
	s.macs.Put(h)
	return m
}

// keyed is a MAC that has taken its key, and room for a sum.
type keyed struct {
	hash.Hash
	sum [sha256.Size]byte
}

// LoadKey reads the key of the file handles, 32 bytes in STATE/handle.key of mode 0600, and makes it where there is none.
func LoadKey(state string) (key [32]byte, err error) {
	path := filepath.Join(state, "handle.key")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return key, err
	}
	if len(b) != len(key) {
		return key, fmt.Errorf("export: %s: %d bytes instead of %d", path, len(b), len(key))
	}
	copy(key[:], b)
	return key, nil
}

// makeKey writes a new key; it is on disk, whole and under its name, before the first handle is sealed with it.
func makeKey(path string) (key [32]byte, err error) {
	rand.Read(key[:])
	f, err := os.CreateTemp(filepath.Dir(path), ".handle.key-") // mode 0600
	if err != nil {
		return key, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err = f.Write(key[:]); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, os.ErrExist) { // somebody else made one meanwhile
		return LoadKey(filepath.Dir(path))
	}
	if err != nil {
		return key, err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return key, err
	}
	defer d.Close()
	return key, d.Sync()
}
