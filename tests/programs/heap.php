<?php
// A PHP program with a heap full of holes that reports what its allocator counts.
//
// It prints one line of JSON, then "end", and waits until its standard input ends. Runs in 7.0 and later.
//
// Usage: heap.php [--churn]

ini_set("memory_limit", "1G");

// Strings and arrays of many sizes, of which two in three are freed again in a pattern that leaves holes.
function fill(int $count): array
{
    $kept = [];
    for ($index = 0; $index < $count; $index++) {
        $kept[] = [str_repeat("x", $index % 4000), [$index => $index]];
    }
    for ($index = 0; $index < $count; $index++) {
        if ($index % 3 != 0 || $index % 1000 < 150) {
            $kept[$index] = null;
        }
    }
    return $kept;
}

$objects = fill(40000);
$large = [];
for ($index = 0; $index < 10; $index++) {
    $large[] = str_repeat("y", 3000000 + 4096 * $index);
}
// Whole chunks become free, and some of them are kept for later.
$freed = [];
for ($index = 0; $index < 20; $index++) {
    $freed[] = str_repeat("z", 1000000);
}
$freed = null;

$output = fopen("php://stdout", "w");
$input = fopen("php://stdin", "r");
// Allocates the buffer of the input.
stream_set_blocking($input, false);
fgetc($input);
stream_set_blocking($input, true);
$churn = in_array("--churn", $argv);
// Twice, so that what a report needs is allocated before it is counted.
$form = '{"pid":%d,"version":"%s","used":%d,"real":%d,"large":%d}' . "\n";
$line = null;
for ($round = 0; $round < 2; $round++) {
    $used = memory_get_usage();
    $real = memory_get_usage(true);
    $line = sprintf($form, getmypid(), PHP_VERSION, $used, $real, count($large));
}
fwrite($output, $line);
fwrite($output, "end\n");
if ($churn) {
    for ($number = 0;; $number += 7919) {
        $objects[$number % 40000] = [$number, str_repeat("x", $number % 900)];
    }
}
fgetc($input);
