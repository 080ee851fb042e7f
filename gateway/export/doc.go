// Package export is the way from a door to the files of an exported directory: which exports there are, who may come in and as whom,
// sealed file handles, and system calls that stay beneath the root.
//
// A Set holds the exports of the configuration. Each has a tree, a detached clone of the directory's mount (open_tree(2)), that comes
// and goes while the gateway runs; without it every way in answers ErrAway. A File is one file that is open as a place (O_PATH),
// counted by reference and kept for a while in the Set's cache.
//
// Functions that take a descriptor or a name do one system call beneath it, as whoever the thread is; As makes the thread somebody.
// Names are single components: "", names with a slash or NUL, and more than 255 bytes are refused. Nothing follows a symbolic link.
//
// Lock order: File.Lock of directories and files in the order of their keys (Lock2), File.mu, Export.mu, cache.mu. System calls are
// made under File.Lock and, for opening data, under File.mu; never under the other two.
package export
