package emulator

// iamOperations are the operations of IAM that the emulator has.
var iamOperations = map[string]operation{}
