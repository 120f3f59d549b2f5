/*
 * Heap.java - a small Java program with a heap that has holes, classes of many
 * loaders, named threads and a direct buffer.
 *
 * It prints one line of JSON, its pid, and waits until its standard input ends.
 * What the VM knows of its own memory is asked with jcmd. With the argument
 * "churn" it allocates, loads classes and starts threads without end meanwhile.
 */
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

public class Heap {
    static final List<Object> kept = new ArrayList<>();

    static Object classOfItsOwn() {
        ClassLoader loader = new ClassLoader(Heap.class.getClassLoader()) { };
        return Proxy.newProxyInstance(loader, new Class<?>[] {Runnable.class}, (self, method, given) -> null);
    }

    static void sleeper(String name) {
        Thread thread = new Thread(() -> {
            try {
                Thread.sleep(1_000_000);
            } catch (InterruptedException e) {
                // It ends.
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
    }

    static void churn() {
        List<Object> some = new ArrayList<>();
        for (long i = 0; ; i++) {
            some.add(new byte[(int) (i % 5000)]);
            if (i % 5000 == 0) {
                some.clear();
                classOfItsOwn();
                new Thread(() -> { }, "short-lived").start();
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < 40; i++) {
            kept.add(new byte[1 << 20]);
        }
        for (int i = 0; i < 40; i += 2) {
            kept.set(i, null);
        }
        for (int i = 0; i < 50_000; i++) {
            kept.add(new byte[64]);
        }
        for (int i = 0; i < 100; i++) {
            kept.add(classOfItsOwn());
        }
        ByteBuffer direct = ByteBuffer.allocateDirect(4 << 20);
        while (direct.hasRemaining()) {
            direct.put((byte) 1);
        }
        kept.add(direct);
        for (int i = 0; i < 4; i++) {
            sleeper("worker-" + i);
        }
        System.gc();
        if (arguments.length > 0 && arguments[0].equals("churn")) {
            Thread thread = new Thread(Heap::churn, "churn");
            thread.setDaemon(true);
            thread.start();
        }
        System.out.println("{\"pid\": " + ProcessHandle.current().pid() + "}");
        while (System.in.read() >= 0) { }
    }
}
