// Package onnx runs a sentence encoder with ONNX Runtime, whose shared library is loaded at run time through purego: no cgo,
// no C compiler. Only the helper program (cmd/dragoman-embedder) imports it, because a binary that can load a C library must be
// linked to the C library's loader, and because what goes wrong in native code ends the process that it runs in.
package onnx

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// apiVersion is the oldest one that has every function below; later libraries still give it out (onnxruntime_c_api.h,
// OrtApiBase.GetApi), with the table's order unchanged: it only ever grows.
const apiVersion = 16

// Places of functions in the OrtApi table (onnxruntime_c_api.h, struct OrtApi).
const (
	getErrorMessage                = 2
	createEnv                      = 3
	createSession                  = 7
	run                            = 9
	createSessionOptions           = 10
	disableMemPattern              = 17
	disableCPUMemArena             = 19
	setSessionGraphOptimization    = 23
	setIntraOpNumThreads           = 24
	setInterOpNumThreads           = 25
	createTensorWithDataAsOrtValue = 49
	getTensorMutableData           = 51
	getTensorElementType           = 60
	getDimensionsCount             = 61
	getDimensions                  = 62
	getTensorTypeAndShape          = 65
	createCPUMemoryInfo            = 69
	releaseEnv                     = 92
	releaseStatus                  = 93
	releaseMemoryInfo              = 94
	releaseSession                 = 95
	releaseValue                   = 96
	releaseTensorTypeAndShapeInfo  = 99
	releaseSessionOptions          = 100
	apiFunctions                   = 101
	loggingError, optimizeAll      = 3, 99 // ORT_LOGGING_LEVEL_ERROR, ORT_ENABLE_ALL
	arenaAllocator, memTypeDefault = 1, 0  // OrtArenaAllocator, OrtMemTypeDefault
	elementFloat, elementInt64     = 1, 7  // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, _INT64
)

// api is the function table of a loaded library. A value of type handle is an address in C memory.
type api struct{ table [apiFunctions]uintptr }

type handle = uintptr

// load opens the shared library.
func load(library string) (*api, error) {
	lib, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load ONNX Runtime: %w", err)
	}
	base, err := purego.Dlsym(lib, "OrtGetApiBase")
	if err != nil {
		return nil, fmt.Errorf("%s is not ONNX Runtime: %w", library, err)
	}
	p, _, _ := purego.SyscallN(base)
	if p == 0 {
		return nil, errors.New("ONNX Runtime gives no API")
	}
	getAPI := *(*uintptr)(pointer(p)) // OrtApiBase.GetApi is its first member
	table, _, _ := purego.SyscallN(getAPI, apiVersion)
	if table == 0 {
		return nil, fmt.Errorf("%s is older than ONNX Runtime 1.%d", library, apiVersion)
	}
	a := &api{}
	copy(a.table[:], unsafe.Slice((*uintptr)(pointer(table)), apiFunctions))
	return a, nil
}

// pointer makes an address in C memory readable. It goes by way of memory, because a plain conversion is only safe for
// addresses that Go's collector knows, and vet refuses it. Inlined into a copy, it crashes the compiler of Go 1.26.
//
//go:noinline
func pointer(address handle) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// call runs a function that returns an OrtStatus.
func (a *api) call(function int, args ...uintptr) error {
	status, _, _ := purego.SyscallN(a.table[function], args...)
	if status == 0 {
		return nil
	}
	text, _, _ := purego.SyscallN(a.table[getErrorMessage], status)
	err := errors.New("ONNX Runtime: " + goString(text))
	a.release(releaseStatus, status)
	return err
}

// make runs a function that gives a new object out by its last argument.
func (a *api) make(function int, args ...uintptr) (handle, error) {
	out := buffer[handle](1)
	err := a.call(function, append(args, address(out))...)
	runtime.KeepAlive(out)
	return out[0], err
}

func (a *api) release(function int, h handle) {
	if h != 0 {
		purego.SyscallN(a.table[function], h)
	}
}

// buffer is memory whose address C code may be given: on Go's heap, whose objects do not move. What is only converted to uintptr
// would otherwise stay on the goroutine's stack, which moves when it grows.
//
//go:noinline
func buffer[T any](n int) []T { return make([]T, n) }

// address is where a buffer begins; callers keep it alive until the C function has returned.
func address[T any](b []T) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// maxText bounds what is read of a C string.
const maxText = 4096

func goString(p uintptr) string {
	if p == 0 {
		return "unknown error"
	}
	b := unsafe.Slice((*byte)(pointer(p)), maxText)
	for i := range b {
		if b[i] == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// cString is s as C wants it.
func cString(s string) []byte {
	b := buffer[byte](len(s) + 1)
	copy(b, s)
	return b
}
