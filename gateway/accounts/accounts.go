// Package accounts keeps the SMB users: STATE/smb-users, mode 0600, one line a user, NAME:UID:GID:NTHASH in hexadecimal.
//
// Names are compared without case. The NT hash is MD4 of the password in UTF-16LE, [MS-NLMP] 3.3.1 NTOWFv1: whoever has it can log on,
// so the file is as secret as the passwords.
//
// Lock order: Cache.mu is a leaf.
package accounts

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4"
)

// User is one SMB user and the Unix identity that it acts with.
type User struct {
	Name     string
	UID, GID uint32
	Groups   []uint32 // supplementary groups of the Unix account of that name, if there is one
	NTHash   [16]byte
}

// Store is the path of a users file.
type Store string

// ErrNone is Remove's answer for a name that is not there.
var ErrNone = errors.New("no such user")

// NTHash is the password's hash.
func NTHash(password string) (h [16]byte) {
	d := md4.New()
	for _, u := range utf16.Encode([]rune(password)) {
		d.Write([]byte{byte(u), byte(u >> 8)})
	}
	copy(h[:], d.Sum(nil))
	return h
}

// List returns the users in the file's order; a file that is not there is an empty one.
func (s Store) List() ([]User, error) {
	f, err := os.Open(string(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []User
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", string(s), n, err)
		}
		list = append(list, u)
	}
	return list, sc.Err()
}

func parse(line string) (u User, err error) {
	p := strings.Split(line, ":")
	if len(p) != 4 || p[0] == "" {
		return u, errors.New("not NAME:UID:GID:NTHASH")
	}
	uid, err1 := strconv.ParseUint(p[1], 10, 32)
	gid, err2 := strconv.ParseUint(p[2], 10, 32)
	h, err3 := hex.DecodeString(p[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return u, err
	}
	if len(h) != len(u.NTHash) {
		return u, errors.New("an NT hash has 16 bytes")
	}
	u.Name, u.UID, u.GID = p[0], uint32(uid), uint32(gid)
	copy(u.NTHash[:], h)
	return u, nil
}

// Add adds a user, or replaces the one of that name.
func (s Store) Add(name, password string, uid, gid uint32) error {
	if name == "" || len(name) > 256 || strings.ContainsAny(name, ":\n\r\x00\\/@") || strings.TrimSpace(name) != name {
		return fmt.Errorf("%q cannot be a user's name", name)
	}
	if password == "" {
		return errors.New("an empty password lets nobody in")
	}
	return s.change(func(list []User) ([]User, error) {
		u := User{Name: name, UID: uid, GID: gid, NTHash: NTHash(password)}
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				list[i] = u
				return list, nil
			}
		}
		return append(list, u), nil
	})
}

// Remove takes a user away, or returns ErrNone.
func (s Store) Remove(name string) error {
	return s.change(func(list []User) ([]User, error) {
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				return append(list[:i], list[i+1:]...), nil
			}
		}
		return nil, fmt.Errorf("%q: %w", name, ErrNone)
	})
}

// change rewrites the file: whole and on disk, or not at all.
func (s Store) change(f func([]User) ([]User, error)) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	if list, err = f(list); err != nil {
		return err
	}
	dir := filepath.Dir(string(s))
	t, err := os.CreateTemp(dir, ".smb-users-*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name())
	for _, u := range list {
		fmt.Fprintf(t, "%s:%d:%d:%x\n", u.Name, u.UID, u.GID, u.NTHash)
	}
	if err := errors.Join(t.Chmod(0o600), t.Sync(), t.Close()); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), string(s)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Cache looks users up and reads the file again when it has changed.
type Cache struct {
	store Store

	mu    sync.Mutex // guards the fields below
	mtime time.Time
	size  int64
	users map[string]User
	err   error
}

// NewCache returns a cache over the file.
func NewCache(s Store) *Cache { return &Cache{store: s} }

// Lookup finds a user by name without case. A file that cannot be read lets nobody in; the error says why.
func (c *Cache) Lookup(name string) (User, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fi, err := os.Stat(string(c.store))
	if err != nil {
		c.users, c.mtime = nil, time.Time{}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return User{}, false, err
	}
	if c.users == nil || !fi.ModTime().Equal(c.mtime) || fi.Size() != c.size {
		list, err := c.store.List()
		if err != nil {
			return User{}, false, err
		}
		c.users, c.mtime, c.size = map[string]User{}, fi.ModTime(), fi.Size()
		for _, u := range list {
			u.Groups = groups(u.Name)
			c.users[strings.ToLower(u.Name)] = u
		}
	}
	u, ok := c.users[strings.ToLower(name)]
	return u, ok, nil
}

// groups are the supplementary groups of the Unix account, none without one.
func groups(name string) (ids []uint32) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	list, err := u.GroupIds()
	if err != nil {
		return nil
	}
	for _, g := range list {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil {
			ids = append(ids, uint32(n))
		}
	}
	return ids
}
