package accounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// Account is a user of the system.
type Account struct {
	Name     string
	UID, GID uint32
	GIDs     []uint32 // supplementary
}

// askFor is how long the name service switch may take for one answer.
const askFor = 10 * time.Second

// ByName finds an account by its name, which is not a number, and ByID by its uid. The name service switch is asked (getent(1)), so directories
// behind sssd, winbind or LDAP count; where getent is not installed, the files in /etc. An error is a name service that does not answer.
func ByName(ctx context.Context, name string) (Account, bool, error) {
	if !accountName(name) {
		return Account{}, false, nil
	}
	return find(ctx, name, user.Lookup)
}

// ByID is ByName for a uid.
func ByID(ctx context.Context, uid uint32) (Account, bool, error) {
	return find(ctx, strconv.FormatUint(uint64(uid), 10), user.LookupId)
}

// accountName: what cannot be an account's name; digits alone would be taken for a uid.
func accountName(s string) bool {
	if s == "" || len(s) > 255 || s[0] == '-' || strings.ContainsAny(s, ":/\x00\n\r\t ") {
		return false
	}
	_, err := strconv.ParseInt(s, 0, 64)
	return err != nil
}

func find(ctx context.Context, key string, files func(string) (*user.User, error)) (a Account, known bool, err error) {
	line, err := Getent(ctx, "passwd", key)
	if errors.Is(err, exec.ErrNotFound) {
		return inFiles(key, files)
	}
	f := strings.Split(line, ":") // name:password:uid:gid:…
	if err != nil || len(f) < 4 {
		return Account{}, false, err
	}
	a.Name = f[0]
	if line, err = Getent(ctx, "initgroups", a.Name); err != nil {
		return Account{}, false, err
	}
	return a, true, a.fill(f[2], f[3], strings.Fields(strings.TrimPrefix(line, a.Name)))
}

func inFiles(key string, files func(string) (*user.User, error)) (Account, bool, error) {
	u, err := files(key)
	if err != nil {
		return Account{}, false, nil
	}
	groups, err := u.GroupIds()
	if err != nil {
		return Account{}, false, err
	}
	a := Account{Name: u.Username}
	return a, true, a.fill(u.Uid, u.Gid, groups)
}

func (a *Account) fill(uid, gid string, groups []string) error {
	ids := make([]uint32, 0, 2+len(groups))
	for _, s := range append([]string{uid, gid}, groups...) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return fmt.Errorf("accounts: %s: %q is no id", a.Name, s)
		}
		ids = append(ids, uint32(n))
	}
	a.UID, a.GID = ids[0], ids[1]
	for _, g := range ids[2:] {
		if g != a.GID {
			a.GIDs = append(a.GIDs, g)
		}
	}
	return nil
}

// GroupName is the name of one of the system's groups; GroupID its number. false: there is none, or nobody knows.
func GroupName(ctx context.Context, gid uint32) (string, bool) {
	name, _, ok := group(ctx, strconv.FormatUint(uint64(gid), 10), user.LookupGroupId)
	return name, ok
}

// GroupID is the number of the group of that name.
func GroupID(ctx context.Context, name string) (uint32, bool) {
	if !accountName(name) {
		return 0, false
	}
	_, gid, ok := group(ctx, name, user.LookupGroup)
	return gid, ok
}

func group(ctx context.Context, key string, files func(string) (*user.Group, error)) (name string, gid uint32, ok bool) {
	line, err := Getent(ctx, "group", key)
	f := strings.Split(line, ":") // name:password:gid:…
	if errors.Is(err, exec.ErrNotFound) {
		g, err := files(key)
		if err != nil {
			return "", 0, false
		}
		f = []string{g.Name, "", g.Gid}
	}
	if len(f) < 3 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(f[2], 10, 32)
	return f[0], uint32(n), err == nil
}

// Getent is the first line that getent(1) prints for a key of a database; "" where there is none.
func Getent(ctx context.Context, database, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	out, err := exec.CommandContext(ctx, "getent", database, "--", key).Output()
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() == 2 {
		return "", nil
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	return string(line), err
}
