# A Ruby program with a heap full of holes that reports what its garbage collector counts.
#
# It prints one line of JSON, then the number of live slots, each time after as many more were taken, then "end", and waits until its standard input ends. Runs in 2.7 and later.
#
# Usage: heap.rb [--objects N] [--fibers N] [--churn]

require "json"

def option(name, usual)
  place = ARGV.index(name)
  place ? ARGV[place + 1].to_i : usual
end

# Objects of many sizes, of which two in three are freed again in a pattern that leaves holes.
def fill(count)
  kept = Array.new(count) { |index| ["#{index}" + "x" * (index % 300), { index => index }, [index]] }
  count.times { |index| kept[index] = nil if index % 3 != 0 || index % 1000 < 150 }
  kept
end

objects = fill(option("--objects", 100_000))
fibers = Array.new(option("--fibers", 40)) do
  fiber = Fiber.new { Fiber.yield("a fiber") }
  fiber.resume
  fiber
end
large = Array.new(10) { |index| "x" * (300_000 + 4096 * index) }

GC.start
GC.start
GC.disable
stat = GC.stat
report = {
  pid: Process.pid,
  version: RUBY_VERSION,
  pages: stat[:heap_allocated_pages] || stat[:heap_eden_pages],
  slots: stat[:heap_available_slots],
  fibers: fibers.size,
  kept: objects.size + large.size,
}
$stdout.write(JSON.generate(report) + "\n")
# Each line takes as many slots as the one before.
3.times do
  GC.stat(stat)
  $stdout.write("#{stat[:heap_live_slots]}\n")
end
$stdout.write("end\n")
$stdout.flush
if ARGV.include?("--churn")
  GC.enable
  Thread.new do
    kept = []
    number = 0
    loop do
      kept[number % 50_000] = [number.to_s * (number % 9)]
      number += 7919
    end
  end
end
$stdin.read
