package server

import (
	"log/slog"

	"dittofs/gateway/accounts"
	"dittofs/gateway/config"
	"dittofs/gateway/krb5"
	"dittofs/smbd/auth"
)

// Kerberos lets clients in by ticket.
type Kerberos struct {
	Acceptor *krb5.Acceptor

	keys     *krb5.Keytab
	users    auth.Users
	accounts accounts.Principals
}

// services are the names under which clients ask for tickets. A key of the host's own is good for all of its services.
var services = []string{"cifs", "host"}

// newKerberos reads the keytab; nil where the settings name none. One that is not there yet counts once it is.
func newKerberos(c config.Kerberos, users auth.Users, log *slog.Logger) *Kerberos {
	if c.Keytab == "" {
		return nil
	}
	keys, err := krb5.Open(c.Keytab)
	switch {
	case err != nil:
		log.Info("no Kerberos over SMB yet", "reason", err)
	case !keys.Serves(services...):
		log.Info("no Kerberos over SMB yet", "reason", "no key of a service cifs/HOST", "keytab", c.Keytab)
	default:
		log.Info("Kerberos over SMB", "keytab", c.Keytab, "realms", keys.Realms())
	}
	k := &Kerberos{Acceptor: krb5.NewAcceptor(keys, services...), keys: keys, users: users}
	k.accounts.Realms = keys.Realms
	if len(c.Realms) > 0 {
		k.accounts.Realms = func() []string { return c.Realms }
	}
	return k
}

// Offered reports whether there is a key to open tickets with.
func (k *Kerberos) Offered() bool { return k.keys.Serves(services...) }

// Principal is whom a principal acts as: the SMB user of that name, or else the system's account.
func (k *Kerberos) Principal(name []string, realm string) (auth.User, bool) {
	if !k.accounts.Ours(name, realm) {
		return auth.User{}, false
	}
	if u, listed := k.users.Lookup(name[0]); listed {
		if g, ok := k.users.(interface{ Groups(auth.User) []uint32 }); ok && u.Groups == nil {
			u.Groups = g.Groups(u)
		}
		return u, true
	}
	a, ok := k.accounts.Account(name, realm)
	return auth.User{Name: a.Name, UID: a.UID, GID: a.GID, Groups: a.GIDs}, ok
}
