package server

import (
	"os/user"
	"strconv"
	"strings"

	"dittofs/gateway/accounts"
	"dittofs/smbd/rpc"
)

// unixNames tells lsarpc and samr what users and groups are called: the SMB users first, then the system's.
type unixNames struct{ users lister }

// lister is what a store of users is that can list them.
type lister interface {
	List() ([]accounts.User, error)
}

func (s *Server) unixNames() rpc.Names {
	l, _ := s.cfg.Users.(lister)
	return unixNames{l}
}

func (n unixNames) list() []accounts.User {
	if n.users == nil {
		return nil
	}
	l, _ := n.users.List()
	return l
}

// User is the name of an SMB user of this number, or else of the system's.
func (n unixNames) User(uid uint32) (string, bool) {
	for _, u := range n.list() {
		if u.UID == uid {
			return u.Name, true
		}
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "", false
	}
	return u.Username, true
}

// UserByName finds a user's number.
func (n unixNames) UserByName(name string) (uint32, bool) {
	for _, u := range n.list() {
		if strings.EqualFold(u.Name, name) {
			return u.UID, true
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, false
	}
	return number(u.Uid)
}

// Group is the name of one of the system's groups.
func (unixNames) Group(gid uint32) (string, bool) {
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10))
	if err != nil {
		return "", false
	}
	return g.Name, true
}

// GroupByName finds a group's number.
func (unixNames) GroupByName(name string) (uint32, bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	return number(g.Gid)
}

// Users are the SMB users.
func (n unixNames) Users() (out []rpc.NamedID) {
	for _, u := range n.list() {
		out = append(out, rpc.NamedID{Name: u.Name, ID: u.UID})
	}
	return out
}

func number(text string) (uint32, bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err == nil
}
