// Package config is the one configuration file, /etc/dittofs/gateway.toml with conf.d/*.toml beside it, as one struct.
//
// No locks.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Path is where the daemons look without --config.
const Path = "/etc/dittofs/gateway.toml"

// Config is everything that the administrator sets. Default says what stands where the file is silent.
type Config struct {
	State    string   `toml:"state" comment:"directory of the lock database and the daemons' records"`
	Run      string   `toml:"run" comment:"directory of the Unix sockets between the daemons"`
	Listen   string   `toml:"listen" comment:"address that the doors listen on; empty: all, IPv4 and IPv6"`
	LogLevel string   `toml:"log_level" comment:"debug, info, warn or error"`
	Ports    Ports    `toml:"ports"`
	NFS      NFS      `toml:"nfs"`
	SMB      SMB      `toml:"smb"`
	Fuse     Fuse     `toml:"fuse"`
	Kerberos Kerberos `toml:"kerberos"`
	Lock     Lock     `toml:"lock"`
	Exports  []Export `toml:"export"`
}

// Ports are TCP and UDP ports; 0 lets the kernel choose.
type Ports struct {
	NFS     uint16 `toml:"nfs"`
	Mount   uint16 `toml:"mount"`
	NLM     uint16 `toml:"nlm"`
	NSM     uint16 `toml:"nsm"`
	SMB     uint16 `toml:"smb"`
	Metrics uint16 `toml:"metrics" comment:"HTTP, /metrics, on the loopback address unless listen is set"`
}

// NFS holds the settings of NFSv3, MOUNT, NLM and NSM.
type NFS struct {
	Hold       Duration `toml:"hold" comment:"how long a call waits for a lease to be given back before the client is told to try again"`
	Rpcbind    bool     `toml:"rpcbind" comment:"register with the system's rpcbind, or serve port 111 where none runs"`
	ManageGIDs bool     `toml:"manage_gids" comment:"take users' groups from this host, as many as they are in, and not the 16 at most that a call carries"`
	GroupsTTL  Duration `toml:"groups_ttl" comment:"how long an answer about a user's groups is good"`
	GrantedFor Duration `toml:"granted_for" comment:"how long a granted lock waits for its client to answer before the next waiter gets it"`

	Connections int `toml:"connections" comment:"that are served at the same time, on each port; never more than half of the descriptors that the gateway may have"`
}

// SMB holds the settings of smbd.
type SMB struct {
	ServerName   string   `toml:"server_name" comment:"NetBIOS-style name shown to clients; empty: the host's name"`
	Signing      string   `toml:"signing" comment:"required or optional"`
	Encryption   string   `toml:"encryption" comment:"off; enabled: for clients and shares that ask for it; desired: for every client that can; required"`
	NTLM         bool     `toml:"ntlm" comment:"let users in by NTLMv2 and their password in the file of users; false: by Kerberos only"`
	MinDialect   string   `toml:"min_dialect" comment:"2.0.2, 2.1, 3.0, 3.0.2 or 3.1.1"`
	BreakTimeout Duration `toml:"break_timeout" comment:"how long a lease break waits for its acknowledgement"`
	Durable      Duration `toml:"durable" comment:"how long a durable handle waits for its client, unless the client asks for up to five minutes; 0s: none is granted"`
	Multichannel bool     `toml:"multichannel" comment:"let clients use several connections and network interfaces for one session"`

	Connections           int `toml:"connections" comment:"that are served at the same time"`
	ConnectionsPerAddress int `toml:"connections_per_address" comment:"likewise, from one client address"`
}

// Fuse holds the settings of the local mount.
type Fuse struct {
	Passthrough bool `toml:"passthrough" comment:"let the kernel read and write the files beneath by itself where it can; false: data goes through the daemon, as before Linux 6.9"`
}

// Kerberos holds the settings of every door's Kerberos.
type Kerberos struct {
	Keytab string   `toml:"keytab" comment:"file with the keys of nfs/HOST and cifs/HOST; without it nobody comes in by Kerberos"`
	Realms []string `toml:"realms" comment:"realms whose principals are the accounts of the same names; empty: those that the keytab has keys for"`
}

// Lock holds the settings of the counter.
type Lock struct {
	Grace           Duration `toml:"grace" comment:"how long NLM clients may reclaim after a crash"`
	Sync            string   `toml:"sync" comment:"soon or always: when a grant is synced to disk, at most 50 ms after the client is told or before; soon, a crash of the host may lose what was told last"`
	RangesPerFile   int      `toml:"ranges_per_file"`
	RangesPerClient int      `toml:"ranges_per_client"`
	Ranges          int      `toml:"ranges"`
	WaitersPerFile  int      `toml:"waiters_per_file"`
	UnlinkOpen      string   `toml:"unlink_open" comment:"deny or unix: may another door unlink a file that an SMB open does not share for deleting?"`
	BrlRead         string   `toml:"brl_read" comment:"deny or unix: does an exclusive SMB byte-range lock hold back NFS READ?"`
}

// Lag is how long after it was told a grant is synced; the sync itself takes its time too.
func (l *Lock) Lag() time.Duration {
	if l.Sync == "always" {
		return 0
	}
	return 40 * time.Millisecond
}

// Export is one directory that is served.
type Export struct {
	Path           string    `toml:"path" comment:"absolute path of an existing directory: the NFS export"`
	Name           string    `toml:"name" comment:"SMB share name; empty: the directory's own name"`
	Comment        string    `toml:"comment"`
	ReadOnly       bool      `toml:"read_only"`
	Squash         string    `toml:"squash" comment:"root, all or none"`
	AnonUID        uint32    `toml:"anon_uid"`
	AnonGID        uint32    `toml:"anon_gid"`
	Clients        []string  `toml:"clients" comment:"NFS: who may come in, with options in parentheses that go before the export's own, as in exports(5): address, network, name, *.wildcard, @netgroup; the first that fits counts; empty: everybody"`
	Insecure       bool      `toml:"insecure" comment:"NFS: from ports of 1024 and above too"`
	Async          bool      `toml:"async" comment:"NFS: answer FILE_SYNC before the data is on disk; a crash of the host loses acknowledged data"`
	Sec            []string  `toml:"sec" comment:"NFS: sys, krb5, krb5i, krb5p in the order of preference; empty: sys"`
	Users          []string  `toml:"users" comment:"SMB: users that may come in; empty: all"`
	Encrypt        bool      `toml:"encrypt" comment:"SMB: only over encrypted sessions"`
	Disabled       bool      `toml:"disabled" comment:"as if the export were not in the file"`
	Snapshots      Snapshots `toml:"snapshots" comment:"SMB: previous versions: DIRECTORY/PATTERN beneath the export, as .snapshots/@GMT-%Y.%m.%d-%H.%M.%S; empty: none"`
	Apple          bool      `toml:"apple" comment:"SMB: serve Macs with Apple's extensions, and keep streams as macOS does"`
	TimeMachine    bool      `toml:"time_machine" comment:"SMB: a Mac may keep its backups here; needs apple"`
	HideUnreadable bool      `toml:"hide_unreadable" comment:"SMB: directories list only what the user may read"`
	NoStreams      bool      `toml:"no_streams" comment:"SMB: files have no named streams"`
}

// Duration is a time.Duration that reads "45s".
type Duration time.Duration

// UnmarshalText parses "45s".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = errors.New("a duration below zero")
	}
	*d = Duration(v)
	return err
}

// MarshalText prints "45s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// D is d as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Default is the configuration of an empty file.
func Default() *Config {
	return &Config{
		State: "/var/lib/dittofs", Run: "/run/dittofs", LogLevel: "info",
		Ports: Ports{NFS: 2049, Mount: 20048, NLM: 32803, NSM: 32765, SMB: 445, Metrics: 9445},
		NFS:   NFS{Hold: Duration(3 * time.Second), Rpcbind: true, GrantedFor: Duration(time.Minute), GroupsTTL: Duration(10 * time.Minute), Connections: 16384},
		SMB: SMB{Signing: "required", Encryption: "enabled", NTLM: true, MinDialect: "2.0.2", BreakTimeout: Duration(35 * time.Second),
			Durable: Duration(time.Minute), Multichannel: true, Connections: 8192, ConnectionsPerAddress: 1024},
		Fuse:     Fuse{Passthrough: true},
		Kerberos: Kerberos{Keytab: "/etc/krb5.keytab"},
		Lock: Lock{Grace: Duration(45 * time.Second), Sync: "soon", RangesPerFile: 1000, RangesPerClient: 10000, Ranges: 100000,
			WaitersPerFile: 100, UnlinkOpen: "deny", BrlRead: "deny"},
	}
}

// Load reads path and the *.toml files of conf.d beside it, in the order of their names. What a file says replaces what was said
// before, except that exports add up. An unknown key or a bad value is an error that names file, line and column.
func Load(path string) (*Config, error) {
	c := Default()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.toml"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	for _, f := range append([]string{path}, files...) {
		before := c.Exports
		c.Exports = nil
		if err := c.read(f); err != nil {
			return nil, err
		}
		c.Exports = append(before, c.Exports...)
	}
	return c, c.Check(path)
}

func (c *Config) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = toml.NewDecoder(f).DisallowUnknownFields().Decode(c)
	var strict *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		row, col := strict.Errors[0].Position()
		return fmt.Errorf("%s:%d:%d: unknown key %q", path, row, col, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &bad):
		row, col := bad.Position()
		return fmt.Errorf("%s:%d:%d: %s", path, row, col, strings.TrimPrefix(bad.Error(), "toml: "))
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Check refuses what no daemon could serve, and fills in names; errors begin with path.
func (c *Config) Check(path string) error {
	one := func(key, value string, of ...string) error {
		for _, v := range of {
			if v == value {
				return nil
			}
		}
		return fmt.Errorf("%s: %s = %q: must be one of %s", path, key, value, strings.Join(of, ", "))
	}
	errs := []error{
		one("log_level", c.LogLevel, "debug", "info", "warn", "error"),
		one("smb.signing", c.SMB.Signing, "required", "optional"),
		one("smb.encryption", c.SMB.Encryption, "off", "enabled", "desired", "required"),
		one("smb.min_dialect", c.SMB.MinDialect, "2.0.2", "2.1", "3.0", "3.0.2", "3.1.1"),
		one("lock.unlink_open", c.Lock.UnlinkOpen, "deny", "unix"),
		one("lock.sync", c.Lock.Sync, "soon", "always"),
		one("lock.brl_read", c.Lock.BrlRead, "deny", "unix"),
	}
	if c.SMB.Connections < 1 || c.SMB.ConnectionsPerAddress < 1 {
		errs = append(errs, fmt.Errorf("%s: smb.connections and smb.connections_per_address: at least 1", path))
	}
	if c.NFS.Connections < 1 {
		errs = append(errs, fmt.Errorf("%s: nfs.connections: at least 1", path))
	}
	c.Exports = slices.DeleteFunc(c.Exports, func(e Export) bool { return e.Disabled })
	names, paths := map[string]bool{}, map[string]bool{}
	for i := range c.Exports {
		e := &c.Exports[i]
		if !filepath.IsAbs(e.Path) {
			errs = append(errs, fmt.Errorf("%s: export %q: the path must be absolute", path, e.Path))
		}
		e.Path = filepath.Clean(e.Path)
		if e.Name == "" {
			e.Name = filepath.Base(e.Path)
		}
		if e.Squash == "" {
			e.Squash = "root"
		}
		if e.AnonUID == 0 {
			e.AnonUID = 65534
		}
		if e.AnonGID == 0 {
			e.AnonGID = 65534
		}
		errs = append(errs, one("export.squash", e.Squash, "root", "all", "none"))
		if err := e.Snapshots.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s: export %q: snapshots = %q: %w", path, e.Path, e.Snapshots, err))
		}
		for _, sec := range e.Sec {
			errs = append(errs, one("export.sec", sec, secs...))
		}
		for _, text := range e.Clients {
			if _, err := ParseClient(text); err != nil {
				errs = append(errs, fmt.Errorf("%s: export %q: client %q: %w", path, e.Path, text, err))
			}
		}
		fold := strings.ToLower(e.Name)
		switch {
		case strings.ContainsAny(e.Name, `/\[]:|<>+=;,*?"`) || len(e.Name) > 80 || e.Name == "":
			errs = append(errs, fmt.Errorf("%s: export %q: %q cannot be a share name", path, e.Path, e.Name))
		case fold == "ipc$" || names[fold]:
			errs = append(errs, fmt.Errorf("%s: export %q: the share name %q is taken", path, e.Path, e.Name))
		case paths[e.Path]:
			errs = append(errs, fmt.Errorf("%s: export %q stands there twice", path, e.Path))
		}
		names[fold], paths[e.Path] = true, true
	}
	return errors.Join(errs...)
}

// Marshal prints c as a file that Load reads back.
func (c *Config) Marshal() ([]byte, error) { return toml.Marshal(c) }
