CREATE UNIQUE CLUSTERED INDEX [訂單] ON [sales].[訂單] ([區域] DESC);
