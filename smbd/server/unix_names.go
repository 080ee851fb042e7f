package server

import (
	"context"
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
	a, known, _ := accounts.ByID(context.Background(), uid)
	return a.Name, known
}

// UserByName finds a user's number.
func (n unixNames) UserByName(name string) (uint32, bool) {
	for _, u := range n.list() {
		if strings.EqualFold(u.Name, name) {
			return u.UID, true
		}
	}
	a, known, _ := accounts.ByName(context.Background(), name)
	return a.UID, known
}

// Group is the name of one of the system's groups.
func (unixNames) Group(gid uint32) (string, bool) {
	return accounts.GroupName(context.Background(), gid)
}

// GroupByName finds a group's number.
func (unixNames) GroupByName(name string) (uint32, bool) {
	return accounts.GroupID(context.Background(), name)
}

// Users are the SMB users.
func (n unixNames) Users() (out []rpc.NamedID) {
	for _, u := range n.list() {
		out = append(out, rpc.NamedID{Name: u.Name, ID: u.UID})
	}
	return out
}
