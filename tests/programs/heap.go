// heap.go - a Go heap with holes that reports its own statistics.
//
// Prints one line of JSON: its pid, its version, and what runtime.ReadMemStats counts. Then it waits until its standard
// input ends. From the count on it allocates nothing, so the figures stay true. With `churn` it allocates all the time
// instead, until it is killed.
//
// Build:  go build heap.go
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"
)

const goroutines = 100

type node struct {
	next *node
	data []byte
}

var (
	kept  []*node
	stats runtime.MemStats
	ready = make(chan struct{})
	never = make(chan struct{})
	line  [512]byte
)

// fill makes blocks of many sizes, of which every third stays, and some large ones.
func fill(count int) []*node {
	list := make([]*node, 0, count/3+20)
	for i := 0; i < count; i++ {
		n := &node{data: make([]byte, i%3000)}
		if i%3 == 0 {
			list = append(list, n)
		}
	}
	for i := 0; i < 12; i++ {
		list = append(list, &node{data: make([]byte, 40000+300000*(i%4))})
	}
	return list
}

// deep waits with a stack that has grown.
func deep(levels int) byte {
	var room [200]byte
	room[levels%200] = byte(levels)
	if levels == 0 {
		ready <- struct{}{}
		<-never
		return room[0]
	}
	return deep(levels-1) + room[levels%200]
}

func number(text []byte, name string, value uint64) []byte {
	text = append(text, `,"`...)
	text = append(text, name...)
	text = append(text, `":`...)
	return strconv.AppendUint(text, value, 10)
}

func main() {
	kept = fill(60000)
	for i := 0; i < goroutines; i++ {
		go deep(i * 7)
		<-ready
	}
	runtime.GC()
	runtime.GC()
	debug.SetGCPercent(-1)
	runtime.ReadMemStats(&stats)
	text := append(line[:0], `{"version":"`...)
	text = append(text, runtime.Version()...)
	text = append(text, '"')
	text = number(text, "pid", uint64(os.Getpid()))
	text = number(text, "heap_inuse", stats.HeapInuse)
	text = number(text, "heap_alloc", stats.HeapAlloc)
	text = number(text, "heap_idle", stats.HeapIdle)
	text = number(text, "heap_objects", stats.HeapObjects)
	text = number(text, "stack_inuse", stats.StackInuse)
	text = number(text, "stacks", goroutines)
	text = append(text, "}\n"...)
	// Calls that the scheduler doesn't notice need no other thread, and so no memory.
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)))
	if len(os.Args) > 1 {
		debug.SetGCPercent(100)
		for i := 0; ; i++ {
			kept = fill(1000 + i%5000)
		}
	}
	syscall.RawSyscall(syscall.SYS_READ, 0, uintptr(unsafe.Pointer(&line[0])), 1)
	runtime.KeepAlive(kept)
}
