CREATE NONCLUSTERED COLUMNSTORE INDEX [訂單] ON [sales].[訂單] ([modified]) WHERE ([a]>(0) AND [b] IS NOT NULL);
