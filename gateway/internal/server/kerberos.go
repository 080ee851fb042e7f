package server

import (
	"dittofs/gateway/accounts"
	"dittofs/gateway/daemon"
	"dittofs/gateway/krb5"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/gss"
)

// kerberos makes RPCSEC_GSS for the programs. A keytab that is not there yet counts once it is.
func kerberos(env daemon.Env) oncrpc.Security {
	c := env.Config.Kerberos
	if c.Keytab == "" {
		return nil
	}
	keys, err := krb5.Open(c.Keytab)
	switch {
	case err != nil:
		env.Log.Info("no Kerberos over NFS yet", "reason", err)
	case !keys.Serves("nfs"):
		env.Log.Info("no Kerberos over NFS yet", "reason", "no key of a service nfs/HOST", "keytab", c.Keytab)
	default:
		env.Log.Info("Kerberos over NFS", "keytab", c.Keytab, "realms", keys.Realms())
	}
	principals := &accounts.Principals{Realms: keys.Realms}
	if len(c.Realms) > 0 {
		principals.Realms = func() []string { return c.Realms }
	}
	return gss.New(gss.Config{Acceptor: krb5.NewAcceptor(keys, "nfs"), Log: env.Log, Metrics: env.Metrics,
		Account: func(name []string, realm string) (uid, gid uint32, gids []uint32, ok bool) {
			a, ok := principals.Account(name, realm)
			return a.UID, a.GID, a.GIDs, ok
		}})
}
