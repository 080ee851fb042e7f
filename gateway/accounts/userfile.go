// Package accounts keeps the SMB users and their passwords, and finds the accounts of Kerberos principals. It lies outside smbd because the
// admin command writes what smbd reads, and the gateway knows the same principals.
//
// Lock order: UserFile.mu is a leaf.
package accounts

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/md4" //lint:ignore SA1019 NTLM is made of it
)

// User is an account that may come in.
type User struct {
	Name   string
	NTHash [16]byte // MD4 of the password in UTF-16LE, [MS-NLMP] 3.3.1
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
}

// UserFileName is the file of users in the state directory.
const UserFileName = "smb-users"

// maxUserFile bounds what is read of a file of users.
const maxUserFile = 16 << 20

// UserFile is the file of SMB users, one a line: name:uid:gid:NT hash in hexadecimal. An NT hash is as good as its password, so the file
// has mode 0600. A file that changes counts from the next logon on. It is what smbd/auth asks for users.
type UserFile struct {
	path   string
	log    *slog.Logger
	system kept[uint32]

	mu    sync.Mutex // guards the fields below
	stamp stamp
	users map[string]User // by folded name
	err   error
}

// stamp tells two states of the file apart.
type stamp struct {
	mtime time.Time
	size  int64
	ino   uint64
}

// Store is the file of users at path, which need not exist. log may be nil.
func Store(path string, log *slog.Logger) *UserFile {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &UserFile{path: path, log: log}
}

// LoadUsers is Store, and an error where the file is there but cannot be read.
func LoadUsers(path string, log *slog.Logger) (*UserFile, error) {
	f := Store(path, log)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f, f.err
}

// Lookup finds a user, whatever the case of the name. While the file cannot be read, it finds nobody.
func (f *UserFile) Lookup(name string) (User, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.err
	f.refresh()
	if f.err != nil && (before == nil || before.Error() != f.err.Error()) {
		f.log.Error("the file of SMB users cannot be read; nobody can log on", "err", f.err)
	}
	u, ok := f.users[fold(name)]
	return u, ok
}

// Groups is the user's supplementary groups in the system's group database: those of the account with the user's uid, if there is one.
func (f *UserFile) Groups(u User) (groups []uint32) {
	a, known, err := f.system.find(u.UID, ByID)
	if err != nil {
		f.log.Warn("groups are not known", "user", u.Name, "uid", u.UID, "err", err)
	}
	if !known {
		return nil
	}
	for _, g := range append([]uint32{a.GID}, a.GIDs...) {
		if g != u.GID {
			groups = append(groups, g)
		}
	}
	return groups
}

// List is all users in the order of their names.
func (f *UserFile) List() ([]User, error) {
	users, err := readUsers(f.path)
	if err != nil {
		return nil, err
	}
	out := make([]User, 0, len(users))
	for _, u := range users {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Add puts a user in, or gives one that is there a new password and new ids.
func (f *UserFile) Add(name, password string, uid, gid uint32) error {
	switch {
	case !legalName(name):
		return fmt.Errorf("%q cannot be the name of an SMB user", name)
	case password == "":
		return fmt.Errorf("SMB user %q: an empty password", name)
	case !utf8.ValidString(password):
		return fmt.Errorf("SMB user %q: the password is not UTF-8", name)
	case uid == ^uint32(0) || gid == ^uint32(0):
		return fmt.Errorf("SMB user %q: uid and gid must be below 4294967295", name)
	}
	return f.change(func(users map[string]User) error {
		users[fold(name)] = User{Name: name, NTHash: NTHash(password), UID: uid, GID: gid}
		return nil
	})
}

// Remove takes a user out.
func (f *UserFile) Remove(name string) error {
	return f.change(func(users map[string]User) error {
		if _, ok := users[fold(name)]; !ok {
			return fmt.Errorf("no SMB user %q", name)
		}
		delete(users, fold(name))
		return nil
	})
}

// change reads, changes and replaces the file, one process at a time.
func (f *UserFile) change(do func(map[string]User) error) error {
	guard, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer guard.Close()
	if err := syscall.Flock(int(guard.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("%s: %w", guard.Name(), err)
	}
	users, err := readUsers(f.path)
	if err != nil {
		return err
	}
	if err := do(users); err != nil {
		return err
	}
	return writeUsers(f.path, users)
}

// refresh reads the file again where it is another one than last time.
func (f *UserFile) refresh() {
	var now stamp
	st, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		f.users, f.err, f.stamp = nil, err, stamp{}
		return
	default:
		now = stamp{mtime: st.ModTime(), size: st.Size(), ino: st.Sys().(*syscall.Stat_t).Ino}
	}
	if f.users != nil && now == f.stamp {
		return
	}
	f.users, f.err = readUsers(f.path)
	f.stamp = now
}

func readUsers(path string) (map[string]User, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]User{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %04o: others can read the password hashes; chmod 600 it", path, st.Mode().Perm())
	}
	if st.Size() > maxUserFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxUserFile)
	}
	users := map[string]User{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseUser(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if _, twice := users[fold(u.Name)]; twice {
			return nil, fmt.Errorf("%s:%d: user %q stands there twice", path, n, u.Name)
		}
		users[fold(u.Name)] = u
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return users, nil
}

// parseUser reads name:uid:gid:nthash. An error never quotes the hash.
func parseUser(line string) (User, error) {
	part := strings.Split(line, ":")
	if len(part) != 4 {
		return User{}, errors.New("want name:uid:gid:nthash")
	}
	u := User{Name: part[0]}
	if !legalName(u.Name) {
		return User{}, fmt.Errorf("%q cannot be the name of an SMB user", u.Name)
	}
	uid, err := strconv.ParseUint(part[1], 10, 32)
	if err != nil || uint32(uid) == ^uint32(0) {
		return User{}, fmt.Errorf("user %q: %q is no uid", u.Name, part[1])
	}
	gid, err := strconv.ParseUint(part[2], 10, 32)
	if err != nil || uint32(gid) == ^uint32(0) {
		return User{}, fmt.Errorf("user %q: %q is no gid", u.Name, part[2])
	}
	u.UID, u.GID = uint32(uid), uint32(gid)
	hash, err := hex.DecodeString(part[3])
	if err != nil || len(hash) != len(u.NTHash) {
		return User{}, fmt.Errorf("user %q: the NT hash is not 32 hexadecimal digits", u.Name)
	}
	copy(u.NTHash[:], hash)
	return u, nil
}

// writeUsers replaces the file as a whole: after a crash there is the old one or the new one.
func writeUsers(path string, users map[string]User) error {
	var b bytes.Buffer
	b.WriteString("# SMB users of DittoFS Gateway: name:uid:gid:nthash. See dittofs user.\n")
	names := make([]string, 0, len(users))
	for k := range users {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		u := users[k]
		fmt.Fprintf(&b, "%s:%d:%d:%x\n", u.Name, u.UID, u.GID, u.NTHash)
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b.Bytes())
	// The file stays its owner's, when root changes what a daemon reads.
	if st, serr := os.Stat(path); err == nil && serr == nil {
		sys := st.Sys().(*syscall.Stat_t)
		err = tmp.Chown(int(sys.Uid), int(sys.Gid))
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// legalName refuses what the file or a log line could not hold, and what Windows does not allow in an account name.
func legalName(s string) bool {
	if s == "" || len(s) > 256 || s[0] == '#' || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || strings.ContainsRune(`"/\[]:;|=,+*?<>`, r) {
			return false
		}
	}
	return true
}

func fold(name string) string { return strings.ToLower(Upper(name)) }

// NTHash is NTOWFv1: MD4 of the password in UTF-16LE. [MS-NLMP] 3.3.1.
func NTHash(password string) (h [16]byte) {
	m := md4.New()
	for _, u := range utf16.Encode([]rune(password)) {
		m.Write([]byte{byte(u), byte(u >> 8)})
	}
	m.Sum(h[:0])
	return h
}

// Upper is a name as NTLM compares it: each character of the Basic Multilingual Plane in upper case. [MS-NLMP] 3.3.2.
func Upper(name string) string {
	r := []rune(name)
	for i, c := range r {
		if c < 0x10000 {
			r[i] = unicode.ToUpper(c)
		}
	}
	return string(r)
}
