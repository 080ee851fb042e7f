package server

import (
	"context"
	"strings"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// TREE_CONNECT and TREE_DISCONNECT, [MS-SMB2] 3.3.5.7 and 3.3.5.8.

func treeConnect(ctx context.Context, r *request) (reply, error) {
	var q smb2.TreeConnectRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	s := r.session
	if q.Flags&smb2.TreeConnectExtensionPresent != 0 {
		return nil, ntstatus.NotSupported // remoted identities
	}
	// \\server\share
	_, name, ok := strings.Cut(strings.TrimPrefix(q.Path, `\\`), `\`)
	if !ok || !strings.HasPrefix(q.Path, `\\`) {
		return nil, ntstatus.InvalidParameter
	}
	h := s.s.share(name)
	switch {
	case h == nil:
		return nil, ntstatus.BadNetworkName
	case !h.admits(s):
		s.log.Warn("share refused", "share", h.name, "user", s.who())
		return nil, ntstatus.AccessDenied
	case h.encrypts() && s.cipher == nil:
		return nil, ntstatus.AccessDenied // [MS-SMB2] 3.3.5.7: EncryptData and a client that cannot
	}
	t := &tree{share: h, session: s, maximal: h.grants()}
	s.mu.Lock()
	if s.ended || len(s.trees) >= maxTrees {
		s.mu.Unlock()
		return nil, ntstatus.InsufficientResources
	}
	for t.id == 0 || t.id == ^uint32(0) || s.trees[t.id] != nil {
		t.id = uint32(random())
	}
	s.trees[t.id] = t
	s.mu.Unlock()
	if s.s.share(name) != h || !t.stands() { // a reload has passed in between
		t.end(ctx)
		return nil, ntstatus.BadNetworkName
	}
	r.TreeID, r.tree = t.id, t
	s.s.reports.add(ctx, s, false)

	body := &smb2.TreeConnectResponse{ShareType: smb2.ShareTypeDisk, ShareFlags: smb2.ShareFlagManualCaching, MaximalAccess: t.maximal}
	if h.ipc {
		body.ShareType, body.ShareFlags = smb2.ShareTypePipe, smb2.ShareFlagNoCaching
	}
	if h.terms().HideUnreadable {
		body.ShareFlags |= smb2.ShareFlagAccessBasedDirectoryEnum
	}
	if h.encrypts() {
		body.ShareFlags |= smb2.ShareFlagEncryptData
	}
	return body, nil
}

func treeDisconnect(ctx context.Context, r *request) (reply, error) {
	var q smb2.TreeDisconnectRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	r.tree.end(ctx)
	return &smb2.TreeDisconnectResponse{}, nil
}
