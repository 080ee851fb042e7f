// Package tree is the local door: it mounts a directory over its own path, so that local programs meet the same law as NFS and SMB
// clients, and hands the directory beneath the mount to the gateway and to smbd.
//
// It speaks the FUSE protocol itself (go-fuse's RawFileSystem), because FLUSH and RELEASE name the owner whose locks end, which the
// node interface above it does not pass on, and because a node here has no names: it is a file handle of the kernel
// (name_to_handle_at(2)), so that a rename beneath the mount by another door leaves it valid.
//
// How to read: run.go is the daemon's life, mount.go and offer.go the directory's, tree.go the mount; node.go says what a node is;
// node_*.go and file_*.go are the operations; admit.go asks the counter, change.go tells and hears what changed; act.go is how files
// come to belong to their makers.
//
// Lock order: nodes.mu before node.mu; node.mu before backings.mu; opens.mu, owners.mu, dirs.mu and pins.mu are leaves. None is held while the counter is asked, and only node.mu
// (around the registration of a backing file) and dirs.mu while the kernel is.
package tree
