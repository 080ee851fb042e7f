// Package nfs3 is NFS version 3, RFC 1813: one file for each procedure with its arguments, its results and what the server does.
//
// A handler resolves the file handle, asks the counter to admit the operation, does it as the calling user, and reports. The operation
// is admitted until the reply's attributes are read, so that no caching right slips in between.
//
// Lock order: an admission at the counter, then export.File.Lock of the file or the directories. Nothing waits at the counter under
// export.File.Lock. names.mu is a leaf.
package nfs3
