/* What the scripted upstream and the load client have in common: the clock, and the mark in every chunk's text.

   The mark is "@", four hex digits for the chunk's number, ten for the moment in microseconds at which it was sent.
   Both processes read the same monotonic clock, so the reader knows how long the chunk was under way. */

#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#define MARK '@'
#define MARK_FORMAT "@%04x%010llx"
#define MARK_DIGITS 14
#define MICROSECONDS_MASK 0xffffffffffULL

static inline uint64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

static inline void allow_many_sockets(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

#endif
