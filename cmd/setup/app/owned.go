package app

// The record in a cluster says where to look, and nothing about whose it is what
// is found there: it may have been copied from another cluster, restored from a
// backup, or edited. The tags say that.
