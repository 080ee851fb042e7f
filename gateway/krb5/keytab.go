package krb5

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Keytab is a keytab file. A file that changes counts from the next ticket on, and keys of an older version stay good while the file
// holds them.
type Keytab struct {
	path string

	mu    sync.Mutex // guards the fields below
	stamp stamp
	keys  []key
	err   error
}

// stamp tells two states of the file apart.
type stamp struct {
	mtime time.Time
	size  int64
	ino   uint64
}

// key is one entry of the file.
type key struct {
	components []string // of the principal: "nfs", "server.example"
	realm      string
	version    uint32
	key        types.EncryptionKey
}

// Open reads the keytab at path.
func Open(path string) (*Keytab, error) {
	k := &Keytab{path: path}
	_, err := k.entries()
	return k, err
}

// Realms lists the realms that the keytab has keys for.
func (k *Keytab) Realms() []string {
	entries, _ := k.entries()
	var out []string
	seen := map[string]bool{}
	for _, e := range entries {
		if !seen[e.realm] {
			seen[e.realm] = true
			out = append(out, e.realm)
		}
	}
	return out
}

// Serves reports whether the keytab has a key for a service: for one of these first components, or of a machine account ("HOST$").
func (k *Keytab) Serves(services ...string) bool {
	entries, _ := k.entries()
	for _, e := range entries {
		if e.serves(services) {
			return true
		}
	}
	return false
}

// serves: a principal of the service, or a machine account of Active Directory, whose key all services of the host share.
func (e *key) serves(services []string) bool {
	first := e.components[0]
	if n := len(first); len(e.components) == 1 && n > 1 && first[n-1] == '$' {
		return true
	}
	for _, s := range services {
		if first == s && len(e.components) == 2 {
			return true
		}
	}
	return false
}

// entries is what the file holds now. While it cannot be read, it is what it held last.
func (k *Keytab) entries() ([]key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err != nil {
		return k.keys, fmt.Errorf("keytab: %w", err)
	}
	now := stamp{mtime: info.ModTime(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		now.ino = st.Ino
	}
	if now == k.stamp {
		return k.keys, k.err
	}
	keys, err := read(k.path)
	k.stamp, k.err = now, err
	if err == nil {
		k.keys = keys
	}
	return k.keys, err
}

// maxKeytab bounds a keytab file; one of a thousand keys has 100 KiB.
const maxKeytab = 4 << 20

// read parses the file. The library panics at some damaged ones.
func read(path string) (keys []key, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("keytab %s: damaged", path)
		}
	}()
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keytab: %w", err)
	}
	if len(b) > maxKeytab {
		return nil, fmt.Errorf("keytab %s: %d bytes are too many", path, len(b))
	}
	var kt keytab.Keytab
	if err := kt.Unmarshal(b); err != nil {
		return nil, fmt.Errorf("keytab %s: damaged", path) // the library's message would show keys
	}
	for _, e := range kt.Entries {
		if _, ok := suites[e.Key.KeyType]; !ok || len(e.Principal.Components) == 0 || len(e.Key.KeyValue) != suites[e.Key.KeyType].key {
			continue
		}
		keys = append(keys, key{e.Principal.Components, e.Principal.Realm, e.KVNO, e.Key})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("keytab %s: no key of an AES encryption type", path)
	}
	return keys, nil
}
