// Package mount3 is the MOUNT protocol: version 3 of RFC 1813 Appendix I, and of version 1, RFC 1094 Appendix A, what old showmount(8) and
// umount(8) ask. Version 1 gives no handle: it would be one of NFS version 2, which is not served.
//
// Lock order: list.mu is a leaf.
package mount3
