package rpc

import (
	"strings"

	"dittofs/smbd/dtyp"
)

// Names tells what Unix users and groups are called.
type Names interface {
	User(uid uint32) (name string, ok bool)
	UserByName(name string) (uid uint32, ok bool)
	Group(gid uint32) (name string, ok bool)
	GroupByName(name string) (gid uint32, ok bool)
	Users() []NamedID // those that SMB knows
}

// NamedID is a user.
type NamedID struct {
	Name string
	ID   uint32
}

// use is what kind of thing has a SID, SID_NAME_USE of [MS-LSAT] 2.2.13.
type use uint16

const (
	useUser      use = 1
	useGroup     use = 2
	useDomain    use = 3
	useAlias     use = 4
	useWellKnown use = 5
	useUnknown   use = 8
)

// domain holds accounts.
type domain struct {
	name string
	sid  dtyp.SID
}

// The account domain holds the Unix users, whose SIDs are S-1-22-1-UID: it bears the server's name. Unix groups are S-1-22-2-GID.
var (
	unixUsers  = dtyp.NewSID(22, 1)
	unixGroups = dtyp.NewSID(22, 2)
	builtin    = dtyp.NewSID(5, 32)
)

func (i *Info) accounts() domain { return domain{i.ServerName, unixUsers} }

const groupsDomain = "Unix Group"

// account is what a SID or a name was found to be.
type account struct {
	sid    dtyp.SID
	name   string
	domain domain
	use    use
}

// wellKnown are accounts that every system has, [MS-DTYP] 2.4.2.4.
var wellKnown = []account{
	{dtyp.Everyone, "Everyone", domain{"", dtyp.NewSID(1)}, useWellKnown},
	{dtyp.CreatorOwner, "CREATOR OWNER", domain{"", dtyp.NewSID(3)}, useWellKnown},
	{dtyp.CreatorGroup, "CREATOR GROUP", domain{"", dtyp.NewSID(3)}, useWellKnown},
	{dtyp.OwnerRights, "OWNER RIGHTS", domain{"", dtyp.NewSID(3)}, useWellKnown},
	{dtyp.Network, "NETWORK", domain{"NT AUTHORITY", dtyp.NewSID(5)}, useWellKnown},
	{dtyp.Anonymous, "ANONYMOUS LOGON", domain{"NT AUTHORITY", dtyp.NewSID(5)}, useWellKnown},
	{dtyp.AuthenticatedUsers, "Authenticated Users", domain{"NT AUTHORITY", dtyp.NewSID(5)}, useWellKnown},
	{dtyp.LocalSystem, "SYSTEM", domain{"NT AUTHORITY", dtyp.NewSID(5)}, useWellKnown},
	{dtyp.Administrators, "Administrators", domain{"BUILTIN", builtin}, useAlias},
	{dtyp.Users, "Users", domain{"BUILTIN", builtin}, useAlias},
}

// bySID finds an account.
func (i *Info) bySID(s dtyp.SID) (account, bool) {
	for _, a := range wellKnown {
		if a.sid == s {
			return a, true
		}
	}
	if s == unixUsers {
		return account{s, i.ServerName, i.accounts(), useDomain}, true
	}
	if i.Names == nil {
		return account{}, false
	}
	if uid, ok := s.UnixUID(); ok {
		name, ok := i.Names.User(uid)
		return account{s, name, i.accounts(), useUser}, ok
	}
	if gid, ok := s.UnixGID(); ok {
		name, ok := i.Names.Group(gid)
		return account{s, name, domain{groupsDomain, unixGroups}, useGroup}, ok
	}
	return account{}, false
}

// byName finds an account by its name, or by DOMAIN\name. Case does not count. [MS-LSAT] 3.1.4.5.
func (i *Info) byName(text string) (account, bool) {
	in, name, qualified := strings.Cut(text, `\`)
	if !qualified {
		in, name = "", text
	}
	of := func(d string) bool { return !qualified || strings.EqualFold(in, d) }
	for _, a := range wellKnown {
		if strings.EqualFold(a.name, name) && of(a.domain.name) {
			return a, true
		}
	}
	if !qualified && strings.EqualFold(name, i.ServerName) {
		return account{unixUsers, i.ServerName, i.accounts(), useDomain}, true
	}
	if i.Names == nil || name == "" {
		return account{}, false
	}
	if uid, ok := i.Names.UserByName(name); ok && (of(i.ServerName) || of("Unix User")) {
		shown, _ := i.Names.User(uid)
		return account{dtyp.UnixUser(uid), shown, i.accounts(), useUser}, true
	}
	if gid, ok := i.Names.GroupByName(name); ok && of(groupsDomain) {
		return account{dtyp.UnixGroup(gid), name, domain{groupsDomain, unixGroups}, useGroup}, true
	}
	return account{}, false
}

// rid is the last part of a SID.
func rid(s dtyp.SID) uint32 {
	if s.Count == 0 {
		return 0
	}
	return s.Sub[s.Count-1]
}
