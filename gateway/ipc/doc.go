// Package ipc is the post between the daemons: a daemon's seat at the gateway's counter through its hatch (Client), the admin command's
// window (Admin), and the descriptors of the exported trees (trees.go). Every message stands in lock.proto; convert.go moves them to and
// from the words of gateway/lock.
//
// A connection is a seat: when it closes, what the seat held ends at the counter, but for NLM locks and durable opens. So the Client keeps
// a ledger of what its door holds and presents it again, before anything new, whenever it has come back to the counter.
//
// Lock order: counter.mu and ledger.mu are leaves; neither is held while the gateway is asked or the Sink is called.
package ipc

//go:generate sh -c "cd ../.. && protoc -I . --go_out=. --go_opt=module=dittofs --go-ttrpc_out=. --go-ttrpc_opt=module=dittofs gateway/ipc/lock.proto"
